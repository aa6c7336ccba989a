"""Does anybody notice when bundles take each other's place?

    python -m benchmarks.serving.swaps [FOLDER] [--swaps N] [--clients C] [--free]

Three versions of one bundle, whose label sets tell which of them decided, take turns under load:
in turns of two a version is brought in anew (checked in another process, loaded, compared), and the
one before comes back at once. Clients send forms of four chips all the while. Prints what they got,
how long swaps took, how long the others waited meanwhile, and memory. `--free` takes a bundle that
costs next to nothing.
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2
import numpy as np

from benchmarks.harness.bundles import SHIPPED, free_bundle
from benchmarks.harness.chips import FORM, form, photo
from benchmarks.harness.contenders import ours
from benchmarks.harness.servers import Running, running, stop_cleanly
from service.contract import bundle
from service.contract.bundle import Bundle
from service.contract.manifest import Precision
from service.contract.processors import processor_kind
from service.contract.rules import Vote
from service.engine.placement import PRECISIONS

VERSIONS = 3
CHIPS = 4
LONGEST_S, PAUSE_S = 300.0, 0.3


def version(original: Bundle, index: int, root: Path) -> Bundle:
    """Write a version that always gives one third of the labels and never gives another."""
    folder = Path(shutil.copytree(original.folder, root / f"version-{index}"))
    manifest = original.manifest
    labels, members = len(manifest.labels), len(manifest.members)
    thresholds = tuple({0: 1.0, 1: 0.0, 2: 0.5}[(label - index) % VERSIONS] for label in range(labels))
    rule = Vote(
        thresholds=(thresholds,) * members,
        weights=((1,) * labels,) * members,
        quorum=(members // 2 + 1,) * labels,
    )
    golden = original.golden
    probs: dict[str, Any] = {
        f"probabilities_{precision}": golden.probs_MGL(precision) for precision in manifest.precisions
    }
    first = golden.probs_MGL(min(manifest.precisions))
    labels_GL = rule.decider().decide(first).labels_BL
    np.savez(folder / manifest.golden.path, chips=golden.chips_GHWC, labels=labels_GL, **probs)
    changed = {
        "version": f"{manifest.version}-{index}",
        "decision": rule,
        "golden": bundle.reference(folder, manifest.golden.path),
        "early_exit": None,
    }
    return bundle.seal(folder, manifest.model_copy(update=changed))


class Asked:
    """What clients got: outcomes, and how long each answer took."""

    def __init__(self, labels: list[str]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.stop = threading.Event()
        self._labels = labels

    def ask(self, url: str, body: bytes) -> None:
        """Send forms until told to stop."""
        with httpx2.Client(timeout=120) as http:
            while not self.stop.is_set():
                began_s = time.perf_counter()
                try:
                    answer = http.post(url, content=body, headers=FORM)
                except httpx2.HTTPError as error:
                    self.outcomes[type(error).__name__] += 1
                    continue
                self.seconds.append(time.perf_counter() - began_s)
                self.outcomes[
                    str(answer.status_code) if answer.status_code != 200 else self._read(answer)
                ] += 1

    def _read(self, answer: httpx2.Response) -> str:
        if answer.status_code != 200:
            return str(answer.status_code)
        said = answer.json()
        name: str = said["model"]["version"]
        self.versions[name] += 1
        index = int(name.rpartition("-")[2])
        always, never = (set(self._labels[start % VERSIONS :: VERSIONS]) for start in (index + 1, index))
        sets = [set(one.get("labels", ())) for one in said["predictions"]]
        right = len(sets) == CHIPS and all(always <= one and not one & never for one in sets)
        return "right" if right else "mixed"


def swap(started: Running, name: str) -> tuple[str, float]:
    """Swap; return how it ended, and how long it took."""
    began_s = time.monotonic()
    with httpx2.Client(base_url=started.address, timeout=60) as http:
        http.post("/swap", params={"bundle": name, "most_different": 1}).raise_for_status()
        while time.monotonic() - began_s < LONGEST_S:
            job = http.get("/swap").json()["job"]
            if job["step"] in ("done", "refused"):
                return f"{job['step']} {job['detail'] or ''}".strip(), time.monotonic() - began_s
            time.sleep(0.05)
    return "not done", LONGEST_S


def main() -> None:
    """Print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=SHIPPED)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--free", action="store_true", help="a bundle that costs next to nothing")
    arguments = parser.parse_args()
    stop_cleanly()
    print(processor_kind())
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        original = free_bundle(Path(scratch) / "free") if arguments.free else bundle.load(arguments.bundle)
        names = [version(original, index, root).folder.name for index in range(VERSIONS)]
        available = original.manifest.precisions
        precision: Precision = next(one for one in PRECISIONS["cpu"] if one in available)
        server = ours(root / names[0], precision, {"CHIPVOTE_BUNDLES": str(root)})
        asked = Asked(original.label_names)
        body = form([(f"{seed}.jpg", photo(seed)) for seed in range(CHIPS)])
        with running(replace(server, ready="/health/ready"), []) as started:
            clients = [
                threading.Thread(target=asked.ask, args=(started.url, body), daemon=True)
                for _ in range(arguments.clients)
            ]
            for client in clients:
                client.start()
            ended, anew_s, back_s, memory_mb = Counter[str](), list[float](), list[float](), list[float]()
            for count in range(arguments.swaps):
                # 1 0 2 0 1 …: every second swap goes back to what is still loaded.
                how, seconds = swap(started, names[0 if count % 2 else 1 + count // 2 % 2])
                ended[how] += 1
                time.sleep(PAUSE_S)  # or it would hardly answer before the next
                (back_s if count % 2 else anew_s).append(seconds)
                memory_mb.append(started.memory_mb())
                if count % 10 == 9:
                    print(f"{count + 1:4} swaps, {memory_mb[-1]:.0f} MB, {dict(asked.outcomes)}", flush=True)
            asked.stop.set()
            for client in clients:
                client.join()
    print("swaps:", dict(ended))
    print("answers:", dict(asked.outcomes), "by version:", dict(asked.versions))
    print(f"a swap to a new version took {median(anew_s):.1f} s, back {median(back_s or [0]):.2f} s")
    p50, p99 = (quantiles(asked.seconds, n=100)[at] for at in (49, 98))
    print(
        f"forms of {CHIPS} meanwhile: p50 {1e3 * p50:.0f} ms, p99 {1e3 * p99:.0f} ms, "
        f"most {max(asked.seconds):.2f} s"
    )
    tenth = max(1, len(memory_mb) // 10)
    first, last = max(memory_mb[:tenth]), max(memory_mb[-tenth:])
    print(f"memory: {first:.0f} MB at most in the first tenth of the swaps, {last:.0f} in the last")
    if set(ended) != {"done"} or set(asked.outcomes) != {"right"}:
        sys.exit(1)


if __name__ == "__main__":
    main()
