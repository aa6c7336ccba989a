"""A small file of every codec that the service accepts, and damage to it, by a number.

Each codec's files are one picture in several encodings.
"""

import io
import random
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from PIL import Image

SIDE_PX = 48


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
