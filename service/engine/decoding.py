"""Bytes → chips on the engine's queue, in threads beside the event loop.

A decoded chip goes straight to the engine: the event loop hears of it when it is answered,
not once more in between. Knows no requests and no limits.
"""

from dataclasses import dataclass
from typing import Any

from service.contract.chips.decode import decode
from service.contract.manifest import InputSpec
from service.contract.processors import processors
from service.engine.batching import Engine
from service.engine.queue.fair_queue import FairQueue, Line
from service.engine.queue.ticket import Pending
from service.engine.queue.workers import Worker
from service.engine.stages import Stages

MOST_THREADS = 8  # as many as keep the fastest GPU busy


def threads_for(asked: int) -> int:
    """Return how many threads decode: as many as asked for, or one per processor up to a point."""
    return asked or min(MOST_THREADS, processors())


@dataclass(slots=True)
class _Job:
    data: bytes | None  # up to 160 MiB; None when nobody waits for them any more
    answer: Pending
    line: Line
    explain: bool
    stages: Stages | None
    warnings: list[str] | None

    def let_go(self) -> bytes | None:
        """Return the bytes, and hold them no longer."""
        data, self.data = self.data, None
        return data


class Decoders:
    """The threads, and the queue of what they have not begun."""

    def __init__(self, engine: Engine[Any], spec: InputSpec, threads: int) -> None:
        """Start the threads, so many as `threads_for` says, and no more than there are processors.

        More would wait in turn for the processes that read TIFFs, and be taken to hang.
        """
        self._engine, self._spec = engine, spec
        self._waiting: FairQueue[_Job] = FairQueue()
        count = min(threads_for(threads), processors())
        self.workers = [Worker(f"decoder-{index}", self._run) for index in range(count)]
        for worker in self.workers:
            worker.start()

    def put(
        self,
        data: bytes,
        answer: Pending,
        line: Line,
        explain: bool = False,
        stages: Stages | None = None,
        warnings: list[str] | None = None,
    ) -> None:
        """Have one chip decoded and answered, in its line of the `FairQueue`.

        With `explain`, all members' probabilities and the evidence come along; `stages` and
        `warnings`, if there are any, get what there is to note before the answer comes. The answer
        may be a `ChipError` (the bytes are no chip that the bundle takes), `OutOfMemory` (there is
        too little to decode it), or a `ServiceError` (the engine failed on its batch).
        """
        job = _Job(data, answer, line, explain, stages, warnings)
        answer.add_done_callback(lambda _: job.let_go())
        self._waiting.put(job, line)

    async def stop(self) -> None:
        """End the threads once they have done what waits."""
        self._waiting.close()
        for worker in self.workers:
            await worker.ended()

    def _run(self, worker: Worker) -> None:
        while jobs := self._waiting.take():
            worker.begin()
            self._decode(jobs.pop())  # the list would hold its bytes until the next comes
            worker.rest()

    def _decode(self, job: _Job) -> None:
        data = job.let_go()
        if data is None or job.answer.done():  # nobody waits for it any more
            return
        if job.stages:
            job.stages.enter("decode")
        try:
            chip_HWC, warnings = decode(data, self._spec)
        except Exception as error:  # the chip's fault or ours: whoever waits for it must hear
            self._engine.refuse(job.answer, error)
        else:
            if warnings and job.warnings is not None:
                job.warnings.extend(warnings)
            self._engine.put(chip_HWC, job.answer, job.line, job.explain, job.stages)
