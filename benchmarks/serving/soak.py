"""Does the service stay as it is under good and bad input? Memory, descriptors, threads over time.

    python -m benchmarks.serving.soak [FOLDER] [--minutes M] [--free]

Three clients send chips of every kind to a service of its own: raw, in forms, previews, evidence;
good ones of all formats and sizes, and among them files that are cut short, hostile, or no pictures
at all. Prints a line every half minute and, at the end, slopes by least squares over all but the
first third, in which buffers fill. Memory is that of the service and the processes that read TIFFs
(PSS). `--free` takes a bundle that costs next to nothing, so that far more requests come through.
"""

import argparse
import io
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import psutil
import tifffile
from PIL import Image

from benchmarks.harness.bundles import free_bundle
from benchmarks.harness.chips import labelled, photo
from benchmarks.harness.contenders import ours
from benchmarks.harness.servers import Running, family, pss_mb, running, stop_cleanly
from service.contract.bundle import Bundle, load
from service.contract.manifest import Precision
from service.contract.processors import processor_kind

SHIPPED = Path("models/uc-merced")
CLIENTS, EVERY_S = 3, 30.0
TIFF_OPTIONS: list[dict[str, Any]] = [
    {},
    {"compression": "lzw"},
    {"compression": "zlib", "predictor": True},
    {"compression": "zstd", "tile": (64, 64)},
]


class Moment(NamedTuple):
    """The service at one moment."""

    minutes: float
    requests: int
    memory_mb: float  # of all processes
    main_mb: float  # of the one that answers
    descriptors: int
    threads: int
    processes: int


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401
    """Return a picture as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:  # noqa: ANN401
    """Return pixels as a TIFF."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb", **options)
    return stream.getvalue()


def inputs() -> list[bytes]:
    """Return files that are chips, and as many that are none."""
    image = Image.open(io.BytesIO(photo(0))).convert("RGB")
    larger = image.resize((600, 500))
    good = [
        photo(1),
        encoded(image, "JPEG", progressive=True),
        encoded(larger, "JPEG"),
        encoded(larger, "JPEG", progressive=True),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "PNG"),
        encoded(larger.convert("RGBA"), "PNG"),
        encoded(image.convert("P"), "PNG"),
        *(tiff(np.asarray(image), **options) for options in TIFF_OPTIONS),
        tiff(np.asarray(larger).astype(np.uint16)[..., [2, 1, 0, 0]] * 64, extrasamples=["unspecified"]),
    ]
    hostile_lzw = tiff(np.zeros((64, 64, 3), np.uint8), compression="lzw")
    bad = [
        b"no picture",
        *(data[: len(data) * 2 // 3] for data in good),
        good[0].replace(b"\x01\x00\x01\x00", b"\xff\xdc\xff\xdc"),  # 65500 × 65500 px
        hostile_lzw.replace(hostile_lzw[8:10], b"\x80\x49"),
        encoded(image.convert("L"), "PNG"),
        good[5][:200] + os.urandom(3000),
    ]
    return good + bad


def ask(url: str, files: list[bytes], until: float, seed: int, answers: Counter[int | str]) -> None:
    """Send requests of every kind until a moment of the monotonic clock."""
    drawn = random.Random(seed)
    raw = {"Content-Type": "image/png"}
    with httpx2.Client(base_url=url, timeout=120) as http:
        while time.monotonic() < until:
            file = drawn.choice(files)
            try:
                match drawn.randrange(8):
                    case 0:
                        chosen = drawn.choices(files, k=drawn.randrange(1, 9))
                        form = [("chip", ("chip.tif", data)) for data in chosen]
                        answer = http.post("/predict?footprint=true", files=form)
                    case 1:
                        answer = http.post("/preview", content=file, headers=raw)
                    case 2:
                        answer = http.post("/predict?evidence=true&members=true", content=file, headers=raw)
                    case 3:
                        answer = http.post("/predict", content=file, headers={"Content-Type": "text/plain"})
                    case _:
                        answer = http.post("/predict", content=file, headers=raw)
                answers[answer.status_code] += 1
            except httpx2.HTTPError as error:
                answers[type(error).__name__] += 1


def moment(started: Running, began_s: float, answers: Counter[int | str]) -> Moment:
    """Look at the service; descriptors and threads are those of its main process."""
    main = psutil.Process(started.process.pid)
    return Moment(
        (time.monotonic() - began_s) / 60,
        sum(answers.values()),
        started.memory_mb(),
        pss_mb(main),
        main.num_fds(),
        main.num_threads(),
        len(family(started.process.pid)),
    )


def soak(bundle: Bundle, minutes: float, folder: Path) -> list[Moment]:
    """Run the clients; return the moments, each printed as it comes."""
    precision: Precision = "int8" if "int8" in bundle.manifest.precisions else "float32"
    chips = labelled(bundle, precision, [photo(0)], folder)
    files, answers, found = inputs(), Counter[int | str](), list[Moment]()
    with running(ours(bundle.folder, precision, {}), chips) as started:
        url, began_s = started.address, time.monotonic()
        until = began_s + 60 * minutes
        clients = [
            threading.Thread(target=ask, args=(url, files, until, seed, answers)) for seed in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        print("minutes  requests        MB   main MB  descriptors  threads  processes")
        while time.monotonic() < until:
            time.sleep(min(EVERY_S, max(0.1, until - time.monotonic())))
            found.append(moment(started, began_s, answers))
            print("{:7.1f}  {:8,}  {:8.1f}  {:8.1f}  {:11}  {:7}  {:9}".format(*found[-1]), flush=True)
        for client in clients:
            client.join()
        print("answers:", ", ".join(f"{status} {count:,}" for status, count in answers.most_common()))
        if started.process.poll() is not None:
            sys.exit("the service ended")
    return found


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=SHIPPED)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--free", action="store_true", help="a bundle that costs next to nothing")
    arguments = parser.parse_args()
    stop_cleanly()
    print(processor_kind())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle = free_bundle(folder / "bundle") if arguments.free else load(arguments.bundle)
        found = soak(bundle, arguments.minutes, folder)
    later = [m for m in found if m.minutes > arguments.minutes / 3]
    for name in ("memory_mb", "main_mb", "descriptors", "threads"):
        slope = np.polyfit([m.minutes for m in later], [getattr(m, name) for m in later], 1)[0]
        print(f"{name}: {slope:+.2f} a minute")


if __name__ == "__main__":
    main()
