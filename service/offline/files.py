"""Files on disk → the answers that the HTTP service would give, without one.

Knows paths, the decoder and the ensemble; no queue, no HTTP, no printing.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
from service.contract.chips.decode import decode
from service.contract.errors import NoChip, ServiceError
from service.contract.manifest import InputSpec, Pixel
from service.engine.ahead import ahead
from service.engine.crew import Crew
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
    crew = open_crew(loaded, settings, all_members=all_members)
    bands, alone, beside = group_bands(images, loaded.manifest.input)
    place = {image: index for index, image in enumerate(images)}
    chips: list[ChipSource] = sorted([*bands, *alone], key=lambda chip: place[first_file(chip)])

    def results() -> Iterator[Prediction | Failure]:
        with crew:
            yield from predict_files(crew, loaded, chips, settings)

    return Answers(predictions.model(loaded), len(chips), results(), beside)


def open_crew(loaded: Bundle, settings: Settings, *, all_members: bool) -> Crew[Ensemble]:
    """Open a bundle's ensemble on all lanes.

    Args:
        loaded: the bundle.
        settings: of a service.
        all_members: run all members on every chip, and not until none can change its label set.

    Raises:
        StartupError: the bundle cannot be used on this machine; says why, and the fix.
    """
    early_exit = not all_members and loaded.early_voter is not None
    changed = settings.model_copy(update={"early_exit": early_exit})
    return Crew(lambda: open_ensemble(loaded, changed), settings.max_batch)


def predict_files(
    crew: Crew[Any], bundle: Bundle, files: Sequence[ChipSource], settings: Settings
) -> Iterator[Prediction | Failure]:
    """Answer every chip in order; one that cannot be used gives a `Failure` in its place."""
    with ThreadPoolExecutor(threads_for(settings.decode_threads)) as decoders:
        decoded = ahead(decoders, partial(_decode, spec=bundle.manifest.input), files, 2 * settings.max_batch)
        # What is known of a chip itself goes along with its name.
        chips = (((file, warnings), chip) for file, (chip, warnings) in zip(files, decoded, strict=True))
        for (file, warnings), verdict in crew.verdicts(chips):
            name = str(path_of(file))
            if isinstance(verdict, ServiceError):
                yield predictions.failure(name, verdict)
            else:
                yield predictions.prediction(name, verdict._replace(warnings=warnings), bundle)


def _decode(file: ChipSource, spec: InputSpec) -> tuple[npt.NDArray[Pixel] | ServiceError, list[str]]:
    try:
        if isinstance(file, BandFiles):
            return decode_band_files(file.read(spec), spec)
        return decode(file.read_bytes(), spec)
    except (OSError, ValueError) as error:
        return NoChip(unreadable(error)), []
    except ServiceError as error:
        return error, []
