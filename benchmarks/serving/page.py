"""How quick is the page: the first result after its answer, and 500 chips at once?

    python -m benchmarks.serving.page [--chips N] [--rounds N]

Serves the default bundle on this machine and drives it with Chromium, which share the processors.
Prints what the browser loads, the time from the last byte of a prediction to the frame that shows
it, and the longest uninterrupted piece of work (a "long task" is one of over 50 ms) while chips
are added and labelled and while a person filters, sorts, walks and scrolls through them. Two
minutes on two cores. Targets: 150 KB, 300 ms, 200 ms.

Source: W3C Long Tasks API; W3C Resource Timing.
"""

import argparse
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.harness.bundles import SHIPPED, opened
from benchmarks.harness.contenders import ours
from benchmarks.harness.data import data_folder
from benchmarks.harness.servers import ROOT, running, stop_cleanly

SAMPLE = ROOT / "docs/sample-chip.jpg"
# Notes each long task, and the frame after the one in which the first label's row came in.
WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((task) => task.duration)))
    .observe({ type: "longtask", buffered: true });
window.shown = new Promise((resolve) => {
    const look = () => document.querySelector(".row")
        ? requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())))
        : requestAnimationFrame(look);
    requestAnimationFrame(look);
});
"""
AFTER_ANSWER = """async () => {
    const at = await shown;
    const requests = performance.getEntriesByType("resource");
    return at - requests.find((entry) => entry.name.includes("/predict")).responseEnd;
}"""
LOADED = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .filter((entry) => !/predict|labels|model$|shadow$/.test(entry.name))
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0)"""


def first_results(page: Page, rounds: int) -> list[float]:
    """Drop one chip onto a fresh page, again and again; return milliseconds after the answer."""
    times_ms = []
    for _ in range(rounds):
        page.reload()
        page.locator("#model:not(:empty)").wait_for()
        page.set_input_files("#files", SAMPLE)
        times_ms.append(float(page.evaluate(AFTER_ANSWER)))
    return times_ms


def longest_ms(page: Page, work: Callable[[], Any]) -> tuple[float, int]:
    """Return the longest task during some work, 0 if none passed 50 ms, and how many there were."""
    page.evaluate("() => { longTasks.length = 0; }")
    work()
    page.wait_for_timeout(500)  # the last ones are told later
    tasks: list[float] = page.evaluate("() => longTasks")
    return max(tasks, default=0.0), len(tasks)


def many_chips(page: Page, files: list[Path]) -> dict[str, Callable[[], Any]]:
    """Return what a person does with many chips, by what it is called."""

    def add() -> None:
        page.set_input_files("#files", files)
        page.locator("#status", has_text="labelled").filter(has_not_text="of").wait_for(timeout=600_000)

    def choose(control: str, *options: str) -> None:
        for option in options:
            page.select_option(control, option)
            page.wait_for_timeout(100)

    def walk() -> None:
        page.locator(".card").first.click()
        for _ in range(60):
            page.keyboard.press("ArrowRight")

    def look() -> None:
        for row in page.locator(".row.set").all() * 3:
            row.hover()

    def scroll() -> None:
        page.mouse.move(300, 600)
        for _ in range(100):
            page.mouse.wheel(0, 400)
            page.wait_for_timeout(16)

    return {
        "added and labelled": add,
        "sorted": lambda: choose("#sort", "likely", "disagreement", "unlikely", "added"),
        "filtered": lambda: choose("#label", "trees", "water", "cars", ""),
        "walked through": walk,
        "evidence looked at": look,
        "scrolled": scroll,
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--chips", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=20, help="times that the first result is measured")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        print("skipped: no Chromium (apt install chromium)")
        sys.exit(0)
    files = sorted((data_folder("ucmerced") / "chips").iterdir())[: arguments.chips]
    stop_cleanly()
    bundle, precision = opened(SHIPPED)
    with running(ours(bundle.folder, precision, {}), []) as started, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(WATCH)
        page.goto(f"{started.address}/")
        page.locator("#model:not(:empty)").wait_for()
        print(f"the browser loads {page.evaluate(LOADED) / 1000:.0f} KB")
        times_ms = first_results(page, arguments.rounds)
        print(
            f"first result on screen after its answer: median {statistics.median(times_ms):.0f} ms, "
            f"longest {max(times_ms):.0f} ms of {len(times_ms)}"
        )
        page.reload()
        page.locator("#model:not(:empty)").wait_for()
        print(f"{len(files)} chips            longest task  long tasks")
        for name, work in many_chips(page, files).items():
            longest, count = longest_ms(page, work)
            print(f"{name:20} {longest:10.0f} ms {count:11}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
