"""Chips from many requests → batches for the thread that owns the device, one per lane it has.

The engine takes everything that waits, up to `max_batch`, the moment it is free. There is
no timer: an idle service adds no wait, and a busy one batches by itself. Where more wait than that,
requests take turns.

Knows chips, not requests or HTTP. `start` and `stop` run on the event loop where the answers go,
`put` and `refuse` in any thread.

Shape suffixes: B chips, H height, W width, C bands.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from service.contract.errors import OutOfMemory, ServiceError
from service.contract.manifest import Pixel
from service.engine.queue.fair_queue import FairQueue, Line
from service.engine.queue.ticket import Pending
from service.engine.queue.workers import Worker
from service.engine.stages import Stages
from service.engine.verdict import Verdict
from service.metrics import Metrics

logger = logging.getLogger("chipvote")


class SupportsVote(Protocol):
    """What the engine needs of an ensemble."""

    @property
    def at_once(self) -> int | None:
        """Most chips that it should be given at once; None where more are never worse."""
        ...

    def lanes(self) -> Sequence["SupportsVote"]:
        """Return voters that may vote at the same time, a thread each; itself alone, or others."""
        ...

    def vote(self, chips_BHWC: npt.NDArray[Pixel], explain: bool = False) -> list[Verdict]:
        """Answer a batch, a vote per chip; `explain` adds members' probabilities and evidence."""
        ...


T = TypeVar("T")
Tap = Callable[[npt.NDArray[Pixel], Verdict], None]  # sees a chip and its answer
V = TypeVar("V", bound=SupportsVote)


class Job(NamedTuple):
    """One chip on its way, and where its answer goes."""

    chip_HWC: npt.NDArray[Pixel]
    answer: Pending
    explain: bool = False  # with evidence
    stages: Stages | None = None  # noted, if there are any


class Engine(Generic[V]):
    """A queue of chips and threads that answer them: one on a GPU, one per core on most CPUs."""

    def __init__(self, open_voter: Callable[[], V], *, max_batch: int, metrics: Metrics) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            open_voter: called once, in the engine's first thread, so that one thread owns a GPU.
            max_batch: most chips given to the voter at once.
            metrics: gets batch sizes and the voter's time.
        """
        self.workers: list[Worker] = []
        self.tap: Tap | None = None  # called in the engine's threads, for every chip that is answered
        self._open_voter = open_voter
        self._max_batch = max_batch
        self._metrics = metrics
        self._waiting: FairQueue[Job] = FairQueue()

    async def start(self) -> V:
        """Open the voter and return it once it can answer; from then on only the engine may use it.

        Raises:
            StartupError: whatever `open_voter` refused with.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[V] = self._loop.create_future()
        self._begin(partial(self._run, opened=opened))
        return await opened

    async def stop(self) -> None:
        """Answer what waits, then end the threads."""
        self._waiting.close()
        for worker in self.workers:
            await worker.ended()
        self.workers.clear()  # they hold the voter's lanes

    @property
    def depth(self) -> int:
        """How many chips wait."""
        return len(self._waiting)

    def put(
        self,
        chip_HWC: npt.NDArray[Pixel],
        answer: Pending,
        line: Line,
        explain: bool = False,
        stages: Stages | None = None,
    ) -> None:
        """Queue one chip, in its line of the `FairQueue`."""
        if stages:
            stages.enter("queue")
        self._waiting.put(Job(chip_HWC, answer, explain, stages), line)

    def refuse(self, answer: Pending, error: Exception) -> None:
        """Answer an expected chip that never came by an error."""
        self._loop.call_soon_threadsafe(_refuse, [answer], error)

    def _run(self, worker: Worker, opened: asyncio.Future[V]) -> None:
        try:
            voter = self._open_voter()
            most = min(self._max_batch, voter.at_once or self._max_batch)
            first, *others = voter.lanes()
            for lane in others:
                self._begin(partial(self._serve, voter=lane, most=most))
        except Exception as error:
            self._waiting.close()  # for the lanes that have begun
            self._loop.call_soon_threadsafe(_refuse, [opened], error)
            return
        self._loop.call_soon_threadsafe(_settle, [(opened, voter)])
        self._serve(worker, first, most)

    def _begin(self, work: Callable[[Worker], None]) -> None:
        self.workers.append(Worker(f"engine-{len(self.workers)}", work))
        self.workers[-1].start()

    def _serve(self, worker: Worker, voter: SupportsVote, most: int) -> None:
        stack = _Stack(most)
        while jobs := self._take(most):
            worker.begin()
            for explain in (False, True):
                if batch := [job for job in jobs if job.explain is explain]:
                    self._answer(voter, stack, batch)
            worker.rest()

    def _take(self, most: int) -> list[Job]:
        """Wait for a chip, take what waits beside it; nothing once the engine stops.

        Whoever gave up waiting needs no answer, and must not cost the others one.
        """
        jobs: list[Job] = []
        while len(jobs) < most and (taken := self._waiting.take(most - len(jobs), wait=not jobs)):
            jobs += [job for job in taken if not job.answer.done()]
        return jobs

    def _answer(self, voter: SupportsVote, stack: "_Stack", jobs: list[Job]) -> None:
        self._metrics.batch_size.observe(len(jobs))
        answers = [job.answer for job in jobs]
        _enter("engine", jobs)
        try:
            with self._metrics.engine_seconds.time():
                chips_BHWC = stack([job.chip_HWC for job in jobs])
                votes = voter.vote(chips_BHWC, jobs[0].explain)
            settled = list(zip(answers, votes, strict=True))
            _enter("", jobs)
        except Exception as error:
            # Whatever it was, every caller must hear of it and the next batch may be fine.
            if not _is_shortage(error):
                logger.exception("the engine failed on a batch of %d chips", len(jobs))
                failure = ServiceError("the engine failed on this batch")
                self._loop.call_soon_threadsafe(_refuse, answers, failure)
                return
        else:
            self._loop.call_soon_threadsafe(_settle, settled)
            if tap := self.tap:
                for job, vote in zip(jobs, votes, strict=True):
                    tap(job.chip_HWC, vote)
            return
        self._answer_less(voter, stack, jobs)  # not above: the error holds what took the memory

    def _answer_less(self, voter: SupportsVote, stack: "_Stack", jobs: list[Job]) -> None:
        """Answer a batch in halves, for which memory was short; a single chip then fails."""
        half = len(jobs) // 2
        if half:
            logger.warning("memory is too short for a batch of %d chips: it is tried in halves", len(jobs))
            self._answer(voter, stack, jobs[:half])
            self._answer(voter, stack, jobs[half:])
            return
        logger.error("memory is too short for a single chip")
        failure = OutOfMemory("the memory is too short for this chip; send it again in a moment")
        self.refuse(jobs[0].answer, failure)


def _enter(stage: str, jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.stages:
            job.stages.enter(stage)


class _Stack:
    """Puts chips side by side, in memory that the next batch takes again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._memory_BHWC: npt.NDArray[Pixel] | None = None

    def __call__(self, chips_HWC: list[npt.NDArray[Pixel]]) -> npt.NDArray[Pixel]:
        if len(chips_HWC) == 1:
            return chips_HWC[0][np.newaxis]
        if self._memory_BHWC is None:
            self._memory_BHWC = np.empty((self._most, *chips_HWC[0].shape), chips_HWC[0].dtype)
        return np.stack(chips_HWC, out=self._memory_BHWC[: len(chips_HWC)])


def _is_shortage(error: Exception) -> bool:
    """Tell whether memory was too short, in the words of ONNX Runtime and CUDA."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "alloc" in said


def _settle(results: Sequence[tuple[asyncio.Future[T], T]]) -> None:
    for future, result in results:
        if not future.done():
            future.set_result(result)


def _refuse(futures: Sequence[asyncio.Future[Any]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
