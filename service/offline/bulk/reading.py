"""Items → chips, read and decoded ahead in threads. Knows no networks and no rows.

Shape suffixes: H height, W width, C bands.
"""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Semaphore
from typing import NamedTuple

import numpy.typing as npt

from service.client.files import unreadable
from service.contract.chips.decode import decode_chip
from service.contract.errors import NoChip, ServiceError
from service.contract.manifest import InputSpec, Pixel
from service.engine.ahead import ahead
from service.engine.decoding import threads_for
from service.offline.bulk import sources
from service.offline.bulk.copies import Copies, First
from service.offline.bulk.errors import NotFetched
from service.offline.bulk.inputs import Item
from service.settings import Settings

READERS = 16  # threads; most wait where chips lie elsewhere, and few may decode
_DIGEST_BYTES = 16


class Found(NamedTuple):
    """An input that was looked at."""

    item: Item
    digest: str = ""  # of its bytes
    first: First | None = None  # what the same bytes were answered with before


class Known(ServiceError):
    """Stands in the place of a chip whose answer is known."""


Chip = npt.NDArray[Pixel] | ServiceError  # (H,W,C), or why there is none


def chips(
    items: Iterable[Item], spec: InputSpec, settings: Settings, copies: Copies | None = None
) -> Iterator[tuple[Found, Chip]]:
    """Read and decode inputs in order; an error stands in a chip's place.

    Args:
        items: drawn on as chips are taken.
        spec: what the bundle takes.
        settings: of a service.
        copies: what need not be decoded, because its answer is known.
    """
    decoding = Semaphore(threads_for(settings.decode_threads))
    work = partial(_chip, spec=spec, decoding=decoding, copies=copies)
    with ThreadPoolExecutor(READERS, "reader") as readers:
        yield from ahead(readers, work, items, 2 * settings.max_batch)


def _chip(item: Item, spec: InputSpec, decoding: Semaphore, copies: Copies | None) -> tuple[Found, Chip]:
    if item.fault:
        return Found(item), NoChip(item.fault)
    try:
        data = sources.read(item.address, item.offset, item.size)
    except sources.StoreSilent as error:
        return Found(item), NotFetched(unreadable(error))
    except (OSError, ValueError) as error:
        return Found(item), NoChip(unreadable(error))
    digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
    first = copies and copies.first(digest)
    if first:
        return Found(item, digest, first), Known()
    try:
        with decoding:
            return Found(item, digest), decode_chip(data, spec)
    except ServiceError as error:
        return Found(item, digest), error
