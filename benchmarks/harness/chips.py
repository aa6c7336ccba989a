"""What is sent to a server: chips that look like photographs, alone or many in one form.

Shape suffixes: H height, W width, C bands.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
from PIL import Image

from benchmarks.harness.servers import Chip, Server
from service.contract.bundle import Bundle
from service.contract.chips.decode import decode_chip
from service.contract.manifest import Precision
from service.engine.ensemble import Ensemble

SIZE_PX = 256
OCTAVES = 7
STEEPNESS = 0.8  # amplitude of an octave, in those of the next coarser one
FORM = {"Content-Type": "multipart/form-data; boundary=chipvote-benchmark"}


def photo(seed: int) -> bytes:
    """Return a 256×256 RGB JPEG of 15 to 20 KB whose frequencies fall off as a photograph's do."""
    random = np.random.default_rng(seed)
    colours = np.full((SIZE_PX, SIZE_PX, 3), random.uniform(80, 170, 3))
    for octave in range(OCTAVES):
        cells = 2 ** (octave + 1)
        # Brightness varies together, colour less: so do real surfaces.
        noise = random.normal(size=(cells, cells, 1)) + 0.3 * random.normal(size=(cells, cells, 3))
        layers = [Image.fromarray(band.astype(np.float32)) for band in np.moveaxis(noise, -1, 0)]
        smooth = [layer.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC) for layer in layers]
        colours += 40 * STEEPNESS**octave * np.stack([np.asarray(layer) for layer in smooth], axis=-1)
    stream = io.BytesIO()
    Image.fromarray(colours.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def labelled(sealed: Bundle, precision: Precision, jpegs: Sequence[bytes], folder: Path) -> list[Chip]:
    """Write chips to files, each with the labels that the bundle gives it."""
    ensemble, names = Ensemble(sealed, "cpu", precision), sealed.label_names
    folder.mkdir(parents=True, exist_ok=True)
    chips = []
    for index, jpeg in enumerate(jpegs):
        file = folder / f"chip{index}.jpg"
        file.write_bytes(jpeg)
        vote = ensemble.vote(decode_chip(jpeg, sealed.manifest.input)[None])[0]
        chips.append(Chip(file, {name for name, there in zip(names, vote.predicted, strict=True) if there}))
    return chips


def form(files: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the body of a form of these files, by name; send it with the headers `FORM`."""
    parts = [("chip", (name, data, "image/jpeg")) for name, data in files]
    return httpx2.Request("POST", "http://127.0.0.1", headers=FORM, files=parts).read()


def forms(chips: Sequence[Chip], size: int, folder: Path) -> list[Chip]:
    """Write forms of `size` chips that together hold every chip, some of them repeated.

    The labels of a form are every chip's, numbered.
    """
    found = []
    for start in range(0, len(chips), size):
        chosen = [chips[(start + index) % len(chips)] for index in range(size)]
        file = folder / f"form{size}-{start}"
        file.write_bytes(form([(chip.file.name, chip.file.read_bytes()) for chip in chosen]))
        labels = {f"{index}:{label}" for index, chip in enumerate(chosen) for label in chip.labels}
        found.append(Chip(file, labels))
    return found


def taking_forms(server: Server) -> Server:
    """Return this service, talked to in forms."""
    return replace(server, headers=FORM, labels=_numbered_labels)


def _numbered_labels(body: bytes) -> set[str]:
    predictions = json.loads(body)["predictions"]
    return {f"{index}:{label}" for index, found in enumerate(predictions) for label in found["labels"]}
