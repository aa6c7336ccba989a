"""Files on disk → the answers that the HTTP service would give, without one.

Knows paths, the decoder and the ensemble; no queue, no HTTP, no printing.

Shape suffixes: H height, W width, C bands.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.answers import predictions
from service.client.files import unreadable
from service.client.schemas import Failure, Model, Prediction
from service.contract.bundle import Bundle, load
from service.contract.chips.band_files import (
    BandFiles,
    ChipSource,
    decode_band_files,
    first_file,
    group_bands,
    path_of,
)
from service.contract.chips.decode import decode_chip
from service.contract.errors import NoChip, ServiceError
from service.contract.manifest import InputSpec, Pixel
from service.engine.decoding import threads_for
from service.engine.ensemble import Ensemble
from service.engine.fallback import open_ensemble
from service.settings import Settings


class Answers(NamedTuple):
    """What a bundle says of some files, one after the other."""

    model: Model
    chips: int
    results: Iterator[Prediction | Failure]
    beside: list[Path]  # files beside bands that are none, which were left out


def answer(images: Sequence[Path], settings: Settings, all_members: bool) -> Answers:
    """Have the settings' bundle label files, or one file for each band of a chip.

    Args:
        images: the files.
        settings: of a service.
        all_members: run all members on every chip, and not until none can change its label set.

    Raises:
        StartupError: the bundle cannot be used on this machine; says why, and the fix.
    """
    loaded = load(settings.bundle)
    early_exit = not all_members and loaded.early_voter is not None
    ensemble = open_ensemble(loaded, settings.model_copy(update={"early_exit": early_exit}))
    bands, alone, beside = group_bands(images, loaded.manifest.input)
    place = {image: index for index, image in enumerate(images)}
    chips: list[ChipSource] = sorted([*bands, *alone], key=lambda chip: place[first_file(chip)])
    results = predict_files(ensemble, loaded, chips, settings)
    return Answers(predictions.model(loaded), len(chips), results, beside)


def predict_files(
    ensemble: Ensemble, bundle: Bundle, files: Sequence[ChipSource], settings: Settings
) -> Iterator[Prediction | Failure]:
    """Answer every chip in order; one that cannot be used gives a `Failure` in its place."""
    decode = partial(_decode, spec=bundle.manifest.input)
    with ThreadPoolExecutor(threads_for(settings.decode_threads)) as decoders:
        for first in range(0, len(files), settings.max_batch):
            part = files[first : first + settings.max_batch]
            decoded = list(decoders.map(decode, part))
            chips = [chip_HWC for chip_HWC in decoded if not isinstance(chip_HWC, ServiceError)]
            votes = iter(ensemble.vote(np.stack(chips)) if chips else ())
            for file, chip in zip(part, decoded, strict=True):
                name = str(path_of(file))
                if isinstance(chip, ServiceError):
                    yield predictions.failure(name, chip)
                else:
                    yield predictions.prediction(name, next(votes), bundle)


def _decode(file: ChipSource, spec: InputSpec) -> npt.NDArray[Pixel] | ServiceError:
    try:
        if isinstance(file, BandFiles):
            return decode_band_files(file.read(spec), spec)
        return decode_chip(file.read_bytes(), spec)
    except (OSError, ValueError) as error:
        return NoChip(unreadable(error))
    except ServiceError as error:
        return error
