"""Chips from many requests → batches for the thread that owns the device, one per lane it has.

The engine takes everything that waits, up to `max_batch`, the moment it is free. There is
no timer: an idle service adds no wait, and a busy one batches by itself.

A request first reserves slots; a slot is the right to have one chip on its way, and all
slots together bound the queue. A request with more chips than slots sends the next chip
when an earlier one is answered: a long request slows itself down and nobody else.

Knows chips, not requests' bodies or HTTP. Everything except the engine's own threads, `put` and
`refuse` runs on one event loop.

Shape suffixes: B chips, H height, W width, C bands.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from service.contract.errors import NotReady, Overloaded, ServiceError
from service.contract.manifest import Pixel
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
V = TypeVar("V", bound=SupportsVote)


Pending = asyncio.Future[Verdict]


class Job(NamedTuple):
    """One chip on its way, and where its answer goes."""

    chip_HWC: npt.NDArray[Pixel]
    answer: Pending
    explain: bool = False  # with evidence


class Engine(Generic[V]):
    """A queue of chips and threads that answer them: one on a GPU, one per core on most CPUs."""

    def __init__(
        self, open_voter: Callable[[], V], *, max_batch: int, queue_size: int, metrics: Metrics
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            open_voter: called once, in the engine's first thread, so that one thread owns a GPU.
            max_batch: most chips given to the voter at once.
            queue_size: most slots handed out, that is chips accepted and not yet answered.
            metrics: gets batch sizes, the voter's time and the queue's depth.
        """
        self.ready = False
        self._open_voter = open_voter
        self._max_batch = max_batch
        self._free = self._slots = queue_size
        self._metrics = metrics
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()  # None: stop, and pass it on
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.queue_depth.set_function(self._waiting.qsize)
        metrics.slots.set(queue_size)
        metrics.taken.set_function(lambda: self._slots - self._free)
        metrics.ready.set_function(lambda: float(self.ready))

    async def start(self) -> V:
        """Open the voter and return it once it can answer; from then on only the engine may use it.

        Raises:
            StartupError: whatever `open_voter` refused with.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[V] = self._loop.create_future()
        self._threads: list[threading.Thread] = []
        self._begin(self._run, opened)
        voter = await opened
        self.ready = True
        return voter

    async def stop(self) -> None:
        """Refuse new requests, answer the accepted ones, then end the threads."""
        self.ready = False
        await self._idle.wait()
        self._waiting.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._waiting.get()  # what the last one passed on

    def check(self) -> None:
        """Refuse early what `reserve` would refuse now.

        Raises:
            NotReady: the engine has not started, or is stopping.
            Overloaded: every slot is taken.
        """
        if not self.ready:
            raise NotReady("the service is starting or stopping; send the request again in a moment")
        if not self._free:
            raise Overloaded(f"{self._slots} chips are already waiting; send the request again in a moment")

    @contextmanager
    def reserve(self, chips: int) -> Iterator[asyncio.Semaphore]:
        """Accept a request of `chips` chips: hold it some slots until it is answered.

        Yields:
            A semaphore with one permit per slot. Hold one around each `vote`.

        Raises:
            NotReady, Overloaded: see `check`.
        """
        self.check()
        # Twice a batch keeps the engine busy (one batch in it, one being decoded) and
        # leaves slots to others.
        slots = min(chips, self._free, 2 * self._max_batch)
        self._free -= slots
        self._idle.clear()
        try:
            yield asyncio.Semaphore(slots)
        finally:
            self._free += slots
            if self._free == self._slots:
                self._idle.set()

    def expect(self) -> Pending:
        """Return where the answer of one chip will come, under a reserved slot."""
        return self._loop.create_future()

    def put(self, chip_HWC: npt.NDArray[Pixel], answer: Pending, explain: bool = False) -> None:
        """Queue one chip; from any thread."""
        self._waiting.put(Job(chip_HWC, answer, explain))

    def refuse(self, answer: Pending, error: Exception) -> None:
        """Answer an expected chip that never came by an error; from any thread."""
        self._loop.call_soon_threadsafe(_refuse, [answer], error)

    def _run(self, opened: asyncio.Future[V]) -> None:
        try:
            voter = self._open_voter()
        except Exception as error:
            self._loop.call_soon_threadsafe(_refuse, [opened], error)
            return
        most = min(self._max_batch, voter.at_once or self._max_batch)
        lanes = voter.lanes()
        for lane in lanes[1:]:
            self._begin(self._serve, lane, most)
        self._loop.call_soon_threadsafe(_settle, [(opened, voter)])
        self._serve(lanes[0], most)

    def _begin(self, work: Callable[..., None], *of: object) -> None:
        name = f"engine-{len(self._threads)}"
        self._threads.append(threading.Thread(target=work, args=of, name=name, daemon=True))
        self._threads[-1].start()

    def _serve(self, voter: SupportsVote, most: int) -> None:
        stack = _Stack(most)
        while jobs := self._take(most):
            # Who gave up waiting needs no answer, and must not cost the others one.
            jobs = [job for job in jobs if not job.answer.cancelled()]
            for explain in (False, True):
                if batch := [job for job in jobs if job.explain is explain]:
                    self._answer(voter, stack, batch)

    def _take(self, most: int) -> list[Job]:
        """Wait for a job, take what waits beside it; nothing once the engine stops."""
        jobs: list[Job] = []
        while len(jobs) < most and not (jobs and self._waiting.empty()):
            try:
                job = self._waiting.get(block=not jobs)
            except Empty:  # another lane was faster
                break
            if job is None:
                self._waiting.put(None)
                break
            jobs.append(job)
        return jobs

    def _answer(self, voter: SupportsVote, stack: "_Stack", jobs: list[Job]) -> None:
        self._metrics.batch_size.observe(len(jobs))
        answers = [job.answer for job in jobs]
        try:
            with self._metrics.engine_seconds.time():
                chips_BHWC = stack([job.chip_HWC for job in jobs])
                votes = voter.vote(chips_BHWC, jobs[0].explain)
            settled = list(zip(answers, votes, strict=True))
        except Exception:
            # Whatever it was, every caller must hear of it and the next batch may be fine.
            logger.exception("the engine failed on a batch of %d chips", len(jobs))
            failure = ServiceError("the engine failed on this batch")
            self._loop.call_soon_threadsafe(_refuse, answers, failure)
        else:
            self._loop.call_soon_threadsafe(_settle, settled)


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


def _settle(results: Sequence[tuple[asyncio.Future[T], T]]) -> None:
    for future, result in results:
        if not future.done():
            future.set_result(result)


def _refuse(futures: Sequence[asyncio.Future[Any]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
