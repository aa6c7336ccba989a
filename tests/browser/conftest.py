"""A real Chromium before a real service; tests end with a clean console and no outside request."""

import io
import re
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
import tifffile
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FilePayload,
    Page,
    Request,
    expect,
    sync_playwright,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# On a machine that does much else: what follows an action, and all chips that a test asks for.
SOON_MS, PATIENCE_MS = 60_000, 240_000
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def upload(name: str, data: bytes, kind: str = "") -> FilePayload:
    """A file as Playwright gives it to the page."""
    return {"name": name, "mimeType": kind, "buffer": data}


def four_bands(seed: int = 0) -> bytes:
    """A four-band uint16 TIFF as Planet's are: blue, green, red, near infrared."""
    grey_HW4 = np.random.default_rng(seed).integers(3000, 6000, (256, 256, 4)).astype(np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, grey_HW4, photometric="minisblack", planarconfig="contig")
    return file.getvalue()


# Until this package's last test, no longer: Playwright's event loop would be in the way of others.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no Chromium (apt install chromium)")
    expect.set_options(timeout=SOON_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield running
        running.close()


@pytest.fixture
def show(browser: Browser, default_client: httpx2.Client) -> Iterator[Callable[..., Page]]:
    """Open the page, as `show(color_scheme="dark", …)`; afterwards, check its console and requests.

    The browser itself writes a line for every answer that is an error: `tolerate` is a part of it.
    `elsewhere` is what addresses may begin with that are not the service's.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(
        *,
        service: httpx2.Client = default_client,
        tolerate: str = "no message",
        elsewhere: str = "none",
        **options: Any,  # noqa: ANN401
    ) -> Page:
        home = str(service.base_url)

        def read(message: ConsoleMessage) -> None:
            if tolerate not in message.text:
                complaints.append(f"console: {message.text}")

        def follow(request: Request) -> None:
            if not request.url.startswith((home, f"blob:{home}", elsewhere)):
                complaints.append(f"outside: {request.url}")

        context = browser.new_context(accept_downloads=True, **options)
        context.set_default_timeout(SOON_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", read)
        page.on("request", follow)
        page.goto(f"{home}/")
        page.locator("#model:not(:empty)").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(show: Callable[..., Page]) -> Page:
    return show()


def drop(page: Page, *files: FilePayload) -> None:
    """Drop files onto the page, as a person would with a mouse."""
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const { name, mimeType, data } of files) {
                const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: mimeType }));
            }
            return transfer;
        }""",
        [
            {"name": file["name"], "mimeType": file["mimeType"], "data": b64encode(file["buffer"]).decode()}
            for file in files
        ],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#drop", event, {"dataTransfer": transfer})


def finished(page: Page, chips: int) -> None:
    """Wait until all chips are there and have their answers."""
    expect(page.locator(".card")).to_have_count(chips)
    answered = page.locator(".card:is([data-state=done], [data-state=failed])")
    expect(answered).to_have_count(chips, timeout=PATIENCE_MS)
    expect(page.locator("#status")).to_have_text(re.compile("^[0-9]+ chips? labelled"))
