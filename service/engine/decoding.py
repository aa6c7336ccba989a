"""Bytes → chips on the engine's queue, in threads beside the event loop.

A decoded chip goes straight to the engine: the event loop hears of it when it is answered,
not once more in between. Knows no requests and no limits.
"""

import threading
from queue import SimpleQueue
from typing import Any, NamedTuple

from service.contract.chips.decode import decode_chip
from service.contract.manifest import InputSpec
from service.contract.processors import processors
from service.engine.batching import Engine, Pending
from service.engine.verdict import Verdict

MOST_THREADS = 8  # as many as keep the fastest GPU busy


def threads_for(asked: int) -> int:
    """Return how many threads decode: as many as asked for, or one per processor up to a point."""
    return asked or min(MOST_THREADS, processors())


class _Job(NamedTuple):
    data: bytes
    answer: Pending
    explain: bool


class Decoders:
    """The threads, and the queue of what they have not begun."""

    def __init__(self, engine: Engine[Any], spec: InputSpec, threads: int) -> None:
        """Start the threads, so many as `threads_for` says."""
        self._engine, self._spec = engine, spec
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()  # None: one thread stops
        self._threads = [
            threading.Thread(target=self._run, name=f"decoder-{index}", daemon=True)
            for index in range(threads_for(threads))
        ]
        for thread in self._threads:
            thread.start()

    async def vote(self, data: bytes, explain: bool = False) -> Verdict:
        """Decode one chip, under a reserved slot of the engine, and wait for its answer.

        With `explain`, all members' probabilities and the evidence come along.

        Raises:
            ChipError: the bytes are no chip that the bundle takes.
            OutOfMemory: there is too little to decode it.
            ServiceError: the engine failed on this chip's batch.
        """
        answer = self._engine.expect()
        self._waiting.put(_Job(data, answer, explain))
        return await answer

    def close(self) -> None:
        """End the threads once they have done what waits."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        for job in iter(self._waiting.get, None):
            self._decode(job)
            del job  # its bytes, which the thread would hold until the next

    def _decode(self, job: _Job) -> None:
        if job.answer.cancelled():
            return
        try:
            chip_HWC = decode_chip(job.data, self._spec)
        except Exception as error:  # the chip's fault or ours: whoever waits for it must hear
            self._engine.refuse(job.answer, error)
        else:
            self._engine.put(chip_HWC, job.answer, job.explain)
