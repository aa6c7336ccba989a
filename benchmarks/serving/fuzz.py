"""Damages small files of every codec, decodes them as the service does, counts what became of it.

Takes every codec that the service accepts and prints one table. An exception other than the
service's own ends the script with an error that names the file's seed. A file that takes 2 s, or
a process that takes 300 MB, the readers' included, makes its status 1. `make fuzz` decodes a
million files, continuous integration a tenth of that.

    python -m benchmarks.serving.fuzz [--files N] [--seed N] [--only CODEC]
"""

import gc
import io
import random
import resource
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import tifffile
import typer
from PIL import Image

from service.contract.chips.bands import RGB
from service.contract.chips.decode import decode_chip
from service.contract.chips.readers.pool import LIMIT_S, READERS
from service.contract.errors import ServiceError
from service.contract.manifest import InputSpec

SIDE_PX = 48
SLOW_S = 0.05  # from here on it is worth another look
MOST_S, MOST_MB = 2, 300  # of a file and of a process; more fails
# With a value of nodata, without which masks are not looked for.
SPEC = InputSpec(bands=RGB, height=SIDE_PX, width=SIDE_PX, nodata=0)


def photo() -> Image.Image:
    """A small picture with something to compress everywhere."""
    noise_HWC = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(noise_HWC).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)


def pillows(kind: str, image: Image.Image, **options: Any) -> bytes:  # noqa: ANN401
    """The picture as Pillow writes it."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(compression: str | int | None, **options: Any) -> bytes:  # noqa: ANN401
    """The picture as a TIFF."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.asarray(photo()), photometric="rgb", compression=compression, **options)
    return stream.getvalue()


def tiffs(compression: str | None) -> list[bytes]:
    """One compression: strips and tiles, both byte orders, with predictor and without, BigTIFF."""
    predicted: dict[str, Any] = {"predictor": True} if compression not in (None, "packbits") else {}
    return [
        tiff(compression),
        tiff(compression, rowsperstrip=7, byteorder=">", **predicted),
        tiff(compression, tile=(16, 32), **predicted),
        tiff(compression, bigtiff=True, planarconfig="contig"),
        tiff(compression, bigtiff=True, byteorder=">", tile=(32, 16)),
    ]


def pictured(compression: str) -> list[bytes]:
    """One picture format inside: strips and tiles."""
    return [tiff(compression, rowsperstrip=SIDE_PX), tiff(compression, tile=(16, 32))]


def old_deflate() -> list[bytes]:
    """Deflate by its first number, which nothing writes any more."""
    number, old = np.uint16(8), np.uint16(32946)
    files = []
    for order, data in (("<", tiff("zlib", byteorder="<")), (">", tiff("zlib", byteorder=">"))):
        entry = np.array([259, 3], f"{order}u2").tobytes() + np.array([1], f"{order}u4").tobytes()
        written, wanted = (entry + np.array([code], f"{order}u2").tobytes() for code in (number, old))
        files.append(data.replace(written, wanted))
    return files


def masked() -> list[bytes]:
    """A mask behind the picture, and behind a smaller copy; both byte orders, BigTIFF."""
    pixels_HWC, files = np.asarray(photo()), []
    options: tuple[dict[str, Any], ...] = ({"byteorder": "<"}, {"byteorder": ">", "bigtiff": True})
    for between, writing in enumerate(options):
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream, **writing) as file:
            file.write(pixels_HWC, photometric="rgb", compression="deflate", metadata=None)
            for _ in range(between):
                file.write(pixels_HWC[::2, ::2].copy(), photometric="rgb", subfiletype=1, metadata=None)
            mask_HW = pixels_HWC[..., 0] > 128
            file.write(mask_HW, compression="deflate", subfiletype=4, tile=(16, 16), metadata=None)
        files.append(stream.getvalue())
    return files


CODECS: dict[str, Callable[[], list[bytes]]] = {
    "JPEG": lambda: [
        pillows("JPEG", photo()),
        pillows("JPEG", photo(), subsampling=0, restart_marker_blocks=3),
    ],
    "JPEG progressive": lambda: [pillows("JPEG", photo(), progressive=True)],
    "JPEG of 4 components": lambda: [
        pillows("JPEG", photo().convert("CMYK")),
        pillows("JPEG", photo().convert("CMYK"), progressive=True),
    ],
    "PNG": lambda: [
        pillows("PNG", photo()),
        pillows("PNG", photo().convert("P")),
        pillows("PNG", photo().convert("RGBA"), icc_profile=bytes(300)),
    ],
    "TIFF": lambda: tiffs(None),
    "TIFF LZW": lambda: tiffs("lzw"),
    "TIFF deflate": lambda: tiffs("deflate"),
    "TIFF old deflate": old_deflate,
    "TIFF PackBits": lambda: tiffs("packbits"),
    "TIFF LZMA": lambda: tiffs("lzma"),
    "TIFF ZSTD": lambda: tiffs("zstd"),
    "TIFF JPEG": lambda: [
        *pictured("jpeg"),
        tiff("jpeg", tile=(16, 32), compressionargs={"outcolorspace": "RGB"}),
        pillows("TIFF", photo(), compression="jpeg"),  # with tables apart
    ],
    "TIFF WebP": lambda: pictured("webp"),
    "TIFF JPEG 2000": lambda: pictured("jpeg2000"),
    "TIFF LERC": lambda: pictured("lerc"),
    "TIFF with a palette": lambda: [pillows("TIFF", photo().convert("P"))],
    "TIFF with a mask": masked,
    "WebP": lambda: [pillows("WEBP", photo()), pillows("WEBP", photo(), lossless=True)],
    "JPEG 2000": lambda: [
        pillows("JPEG2000", photo()),
        pillows("JPEG2000", photo(), no_jp2=True, irreversible=True),
    ],
}


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Change some bytes of a file, remove or insert some, or end it early."""
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 4, 16))):
        at = generator.randrange(4, max(5, len(changed)))
        match generator.randrange(8):
            case 0:
                del changed[at : at + generator.randrange(1, 40)]
            case 1:
                changed[at:at] = generator.randbytes(generator.randrange(1, 20))
            case 2:
                changed[at : at + 4] = generator.choice((b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"))
            case 3:
                start = generator.randrange(4, max(5, len(changed)))
                changed[at:at] = changed[start : start + generator.randrange(1, 60)]
            case _:
                changed[at : at + 1] = bytes([generator.randrange(256)])
    if generator.random() < 0.05:
        del changed[generator.randrange(4, max(5, len(changed))) :]
    return bytes(changed)


def with_checksums(data: bytes) -> bytes:
    """Make a damaged PNG's checksums right, so that the damage comes through to the decoder."""
    mended, at = bytearray(data), 8
    while at + 12 <= len(mended):
        end = at + 8 + int.from_bytes(mended[at : at + 4])
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = zlib.crc32(mended[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(mended)


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
