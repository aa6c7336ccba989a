"""A stream of chips → a stream of verdicts in the same order, on all lanes of the device.

What answers files, scenes and lists of chips, where no event loop is. Every lane is a thread that
has its next batch before it is done with the last. Knows no files and no HTTP.

Shape suffixes: B chips, H height, W width, C bands.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from service.contract.errors import ServiceError
from service.contract.manifest import Pixel
from service.engine.batching import SupportsVote
from service.engine.verdict import Verdict

logger = logging.getLogger("chipvote")

K = TypeVar("K")  # what tells a chip from the others: a path, a window
V = TypeVar("V", bound=SupportsVote)
Chip = npt.NDArray[Pixel]  # (H,W,C)

_AHEAD = 2  # batches that a lane has: one that runs, one that waits


class _Lane(NamedTuple):
    """A thread, and the voter that it alone uses."""

    thread: ThreadPoolExecutor
    voter: SupportsVote


class Crew(Generic[V]):
    """The lanes of one voter. A context manager: its end waits for the threads."""

    def __init__(self, open_voter: Callable[[], V], max_batch: int) -> None:
        """Open the voter.

        Args:
            open_voter: called in the thread of the first lane, which owns a GPU.
            max_batch: most chips given to the voter at once.

        Raises:
            StartupError: whatever `open_voter` refused with.
        """
        first = ThreadPoolExecutor(1, "lane")
        try:
            self.voter = first.submit(open_voter).result()
        except BaseException:
            first.shutdown()
            raise
        lanes = self.voter.lanes()
        threads = [first, *(ThreadPoolExecutor(1, "lane") for _ in lanes[1:])]
        self._lanes = list(map(_Lane, threads, lanes))
        self._most = min(max_batch, self.voter.at_once or max_batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self._lanes:
            lane.thread.shutdown(cancel_futures=True)

    def verdicts(
        self, stream: Iterable[tuple[K, Chip | ServiceError]], *, explain: bool = False
    ) -> Iterator[tuple[K, Verdict | ServiceError]]:
        """Answer every chip; an error in a chip's place is passed on.

        A chip on which the voter fails costs its neighbours nothing: its error takes its place.

        Args:
            stream: chips, all of the bundle's shape, each with what it is called by. Drawn on in
                the caller's thread, no further than the lanes can take.
            explain: with all members' probabilities and the evidence.
        """
        free: SimpleQueue[_Lane] = SimpleQueue()
        for _ in range(_AHEAD):
            for lane in self._lanes:
                free.put(lane)
        pending: deque[Future[list[tuple[K, Verdict | ServiceError]]]] = deque()
        chips = iter(stream)
        try:
            while batch := list(islice(chips, self._most)):
                lane = free.get()
                job = lane.thread.submit(_answered, lane.voter, batch, explain)
                job.add_done_callback(lambda _, lane=lane: free.put(lane))  # type: ignore[misc]
                pending.append(job)
                while pending and pending[0].done():
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for job in pending:
                job.cancel()


def _answered(
    voter: SupportsVote, batch: list[tuple[K, Chip | ServiceError]], explain: bool
) -> list[tuple[K, Verdict | ServiceError]]:
    chips = [chip for _, chip in batch if not isinstance(chip, ServiceError)]
    verdicts = iter(_voted(voter, chips, explain))
    return [(key, chip if isinstance(chip, ServiceError) else next(verdicts)) for key, chip in batch]


def _voted(voter: SupportsVote, chips: list[Chip], explain: bool) -> list[Verdict | ServiceError]:
    if not chips:
        return []
    try:
        return list(voter.vote(chips[0][np.newaxis] if len(chips) == 1 else np.stack(chips), explain))
    except Exception as error:
        # Whatever it was: one chip may be the reason, or memory that is short for all of them.
        if len(chips) == 1:
            logger.exception("the engine failed on a chip")
            return [error if isinstance(error, ServiceError) else ServiceError(f"the engine failed: {error}")]
    half = len(chips) // 2
    return _voted(voter, chips[:half], explain) + _voted(voter, chips[half:], explain)
