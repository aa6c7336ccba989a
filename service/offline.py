"""Files on disk → the answers that the HTTP service would give, without one.

Knows paths, the decoder and the ensemble; no queue, no HTTP, no printing.

Shape suffixes: H height, W width, C bands.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from service.answers import predictions
from service.client.files import unreadable
from service.client.schemas import Failure, Prediction
from service.contract.bundle import Bundle
from service.contract.chips.band_files import BandFiles, ChipSource, decode_band_files, path_of
from service.contract.chips.decode import decode_chip
from service.contract.errors import NoChip, ServiceError
from service.contract.manifest import InputSpec, Pixel
from service.engine.decoding import threads_for
from service.engine.ensemble import Ensemble
from service.settings import Settings


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
