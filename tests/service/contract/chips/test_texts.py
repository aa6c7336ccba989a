"""What a client is told about a chip are our own sentences: no library's words, address or path."""

import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import service
from benchmarks.harness.damage import CODECS, damaged, with_checksums
from benchmarks.serving.fuzz import SPEC
from service.contract.chips.bands import accepted
from service.contract.chips.decode import decode_chip
from service.contract.errors import ServiceError

FILES = 300  # of each codec
LOGGING = ("corrupt", "self._ended_by")  # these log the other error, and say nothing of it
ROOT = Path(service.__file__).parent

N = r"\d+"
SENTENCES = [
    r"the image is truncated or corrupt; send the whole file",
    r"the image's header is broken; send the whole file",
    rf"the image is {N}×{N} px; at least {N}×{N} is needed",
    rf"the image is {N}×{N} px; at most {N}×{N} is accepted: cut it into chips, or label it in windows: "
    r"chipvote map FILE --out labels.gpkg",
    r"the JPEG holds no picture; send the whole file",
    r"the JPEG's (frame )?header is broken( or cut short)?; send the whole file",
    r"the JPEG has two frame headers; save it anew",
    rf"the JPEG has more than {N} scans; save it anew, as baseline",
    rf"the JPEG has more than {N} segments before its picture; save it without metadata",
    r"the JPEG leaves its height open until its end \(DNL\); save it anew",
    r"the file is an? [\w -]+ JPEG; accepted are baseline and progressive JPEGs of 8 bits",
    r"the JPEG 2000('s header is broken| ends in its header); send the whole file",
    r"the PNG ends inside its chunk \w{4}; send the whole file",
    r"the PNG holds far more data than pixels; save it anew",
    r"the PNG has two header chunks; save it anew",
    r"the PNG's header is broken; send the whole file",
    rf"the PNG has more than {N} chunks; save it anew, without metadata",
    r"the checksum of the PNG's chunk \w{4} is wrong; send the file again",
    rf"the TIFF's directory has {N} entries; at most {N} are accepted",
    r"the TIFF's directory lies outside the file; send the whole file",
    rf"the TIFF's tag {N} has {N} values of type {N}; save it anew",
    rf"the TIFF's tag {N} lies outside the file; send the whole file",
    r"the TIFF is cut short: (strips|tiles) lie outside the file; send the whole file",
    rf"the TIFF lacks some of its {N} (strips|tiles); send the whole file",
    rf"the TIFF's tiles are {N}×{N} px; sides of {N} to {N} px are accepted",
    r"the TIFF's (strips|tiles) (hold|lie) [\w ]+; save it anew",
    r"the TIFF's LZW data [\w ]+( \(very old files do not\))?; (save it anew|send the whole file)",
    r"the TIFF's palette is none; save it anew",
    r"the TIFF's bits are in reverse order \(FillOrder 2\); save it anew",
    r"the TIFF holds other bands than it says; save it anew",
    r"the TIFF is compressed with \w+; accepted are none, [\w ,]+",
    r"the TIFF is corrupt: its decoder does not survive it; save it anew",
    r"the file takes far longer to read than others of its size; save it anew",
    # Those below end in what is accepted.
    r"the bytes start with ([0-9a-f]{2} ){3}[0-9a-f]{2}, no known image; ACCEPTED",
    r"the file is an? \w+; ACCEPTED",
    r"the picture (moves: it has \d+ frames|has colours of kind \w+); ACCEPTED",
    r"the \w+( 2000)? holds 8-bit RGB; ACCEPTED",
    r"the [\w ]+ is grey, and this bundle was trained on colours: send it in colours, or train with "
    r"--grey; ACCEPTED",
    rf"the TIFF has {N} (bands; at most {N} are read|layer\(s\)); ACCEPTED",
    r"the TIFF's colours are [\w *]+(, [\w ]+)?; ACCEPTED",
    rf"the TIFF is a picture of {N} band\(s\) with a palette; ACCEPTED",
    r"the TIFF has [\d(), ]+ bits a sample; [\w ]+: write it anew, scaled to 0…255 "
    r"\(gdal_translate -ot Byte -scale\); ACCEPTED",
    rf"the (PNG|JPEG 2000) has {N} (signed )?bits a sample, and how much of them its values use cannot be "
    r"told; scale it to 8 bits \(gdal_translate -ot Byte -scale\); ACCEPTED",
    rf"the TIFF has {N} band\(s\) of \w+[^/]*; ACCEPTED.*",
]


def damaged_files(codec: str) -> Iterator[bytes]:
    whole = CODECS[codec]()
    for index in range(FILES):
        generator = random.Random(f"texts {codec} {index}")
        data = damaged(generator.choice(whole), generator)
        yield with_checksums(data) if codec == "PNG" and generator.random() < 0.9 else data


@pytest.mark.parametrize("codec", CODECS)
def test_every_text_about_a_damaged_file_is_one_of_ours(codec: str) -> None:
    ours = re.compile("|".join(SENTENCES).replace("ACCEPTED", re.escape(accepted(SPEC))))
    for data in damaged_files(codec):
        try:
            decode_chip(data, SPEC)
        except ServiceError as error:
            assert ours.fullmatch(error.detail), error.detail


@pytest.mark.parametrize("folder", ["contract/chips", "server", "answers"])
def test_no_error_for_a_client_is_made_of_another(folder: str) -> None:
    """Such as `raise CorruptChip(f"… ({error})") from error`."""
    for path in (ROOT / folder).rglob("*.py"):
        for handler in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            # What starts the service, reads its keys or writes files speaks to who runs it.
            if not isinstance(handler, ast.ExceptHandler) or path.name in (
                "launch.py",
                "keys.py",
                "parts.py",
            ):
                continue
            ours = ast.unparse(handler.type) if handler.type else ""
            if ours in ("ServiceError", "ChipError"):
                continue
            for raised in (node.exc for node in ast.walk(handler) if isinstance(node, ast.Raise)):
                if isinstance(raised, ast.Call) and ast.unparse(raised.func) not in LOGGING:
                    said = " ".join(map(ast.unparse, raised.args))
                    assert not re.search(rf"\b{handler.name}\b", said), f"{path}: {said}"
