"""Damages small files of every codec, decodes them as the service does, counts what became of it.

Takes every codec that the service accepts and prints one table. An exception other than the
service's own ends the script with an error that names the file's seed. A file that takes 2 s, or
a process that takes 300 MB, the readers' included, makes its status 1. `make fuzz` decodes a
million files, continuous integration a tenth of that.

    python -m benchmarks.serving.fuzz [--files N] [--seed N] [--only CODEC]
"""

import gc
import random
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer

from benchmarks.harness.damage import CODECS, SIDE_PX, damaged, with_checksums
from service.contract.chips.bands import RGB
from service.contract.chips.decode import decode_chip
from service.contract.chips.readers.pool import LIMIT_S, READERS
from service.contract.errors import ServiceError
from service.contract.manifest import InputSpec

SLOW_S = 0.05  # from here on it is worth another look
MOST_S, MOST_MB = 2, 300  # of a file and of a process; more fails
# With a value of nodata, without which masks are not looked for.
SPEC = InputSpec(bands=RGB, height=SIDE_PX, width=SIDE_PX, nodata=0)


def resident_mb() -> float:
    """This process's memory."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def peak_mb() -> float:
    """The most memory that one process has had: this one, or a reader, be it there or gone."""
    peaks_kb = [resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]
    for process in (psutil.Process(), *psutil.Process().children()):
        with suppress(OSError):  # it has just ended
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            peaks_kb += [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    return max(peaks_kb) * 1024 / 1e6


def processor_s() -> float:
    """The processor time of this process and its readers, be they there or gone."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total_s = sum(each.ru_utime + each.ru_stime for each in used)
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total_s += times.user + times.system
    return total_s


def taken(data: bytes) -> bool:
    """Decode a file; return whether it is a chip."""
    try:
        decode_chip(data, SPEC)
    except ServiceError as error:
        if error.status >= 500:
            raise
        return False
    return True


def decoded_in_s(data: bytes, whole: bytes) -> tuple[bool, float]:
    """Decode a file; return whether it was taken, and the seconds.

    What seems slow is decoded again, and then the processor's time counts: the machine may have
    been busy. A whole file before it starts the reader, if there is none.
    """
    began_s = time.perf_counter()
    accepted = taken(data)
    if (took_s := time.perf_counter() - began_s) < SLOW_S:
        return accepted, took_s
    decode_chip(whole, SPEC)
    began_s, used_s = time.perf_counter(), processor_s()
    taken(data)
    hung = time.perf_counter() - began_s >= LIMIT_S
    return accepted, LIMIT_S if hung else processor_s() - used_s


@dataclass
class Found:
    """What became of a codec's damaged files."""

    codec: str
    files: int
    accepted: int = 0
    ended: int = 0  # readers
    total_s: float = 0.0
    slowest_s: float = 0.0
    slowest: int = 0  # which file
    before_mb: float = 0.0
    after_mb: float = 0.0
    peak_mb: float = 0.0

    def row(self) -> str:
        """Return a row of the table."""
        return (
            f"{self.codec:22}{self.files:9,}{self.accepted:9,}{self.ended:8}"
            f"{self.total_s * 1000 / self.files:8.2f}{self.slowest_s * 1000:9.0f}{self.slowest:9}"
            f"{self.before_mb:8.1f}{self.after_mb:7.1f}{self.peak_mb:7.0f}"
        )


HEADS = (
    f"{'codec':22}{'files':>9}{'accepted':>9}{'readers':>8}{'mean':>8}{'slowest':>9}{'which':>9}"
    f"{'memory':>8}{'after':>7}{'peak':>7}\n{'':22}{'':18}{'ended':>8}{'ms':>8}{'ms':>9}{'':9}"
    f"{'MB':>8}{'MB':>7}{'MB':>7}"
)


def fuzz(name: str, files: int, seed: int) -> Found:
    """Decode so many damaged files of a codec."""
    whole = CODECS[name]()
    for data in whole:
        decode_chip(data, SPEC)
    found, ends = Found(name, files), READERS.lost
    for index in range(files):
        if index == min(1000, files // 2):
            found.before_mb = resident_mb()
        generator = random.Random(f"{seed} {name} {index}")
        data = damaged(generator.choice(whole), generator)
        if name == "PNG" and generator.random() < 0.9:
            data = with_checksums(data)
        try:
            accepted, seconds = decoded_in_s(data, whole[0])
        except BaseException:
            print(f"{name}: file {index} of seed {seed}")
            raise
        found.accepted += accepted
        found.total_s += seconds
        if seconds > found.slowest_s:
            found.slowest_s, found.slowest = seconds, index
    found.ended, found.after_mb, found.peak_mb = READERS.lost - ends, resident_mb(), peak_mb()
    return found


def main(
    files: Annotated[int, typer.Option(help="damaged files of each codec")] = 10_000,
    seed: Annotated[int, typer.Option(help="another one damages otherwise")] = 0,
    only: Annotated[str, typer.Option(help="codecs whose name contains this")] = "",
) -> None:
    """Damage files of every codec and print what the decoder made of them."""
    print(HEADS)
    found = []
    for name in CODECS:
        if only in name:
            found.append(fuzz(name, files, seed))
            print(found[-1].row(), flush=True)
    slow = [each.codec for each in found if each.slowest_s > MOST_S]
    large = [each.codec for each in found if each.peak_mb > MOST_MB]
    print(
        f"{sum(each.files for each in found):,} files; longer than {MOST_S} s: {', '.join(slow) or 'none'}; "
        f"more than {MOST_MB} MB: {', '.join(large) or 'none'}"
    )
    if slow or large:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
