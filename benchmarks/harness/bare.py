"""The members of a bundle in plain ONNX Runtime: what the engine is, without a service around it.

No decoding, no queue, no vote: arrays in, probabilities out and thrown away. Several ways, since
which is the fastest depends on the machine.

Shape suffixes: B chips, H height, W width, C bands.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.contract.manifest import Pixel
from service.contract.onnx_runtime import open_session


class Way(NamedTuple):
    """How a loop uses the cores."""

    name: str
    spinning: bool  # threads that wait keep their core busy: ONNX Runtime's default
    threads: int  # that share the work of one run; 0: ONNX Runtime's choice
    callers: int  # chips that run at a time, each alone; 1 gives a session its whole batch


def ways(cores: int) -> list[Way]:
    """List the loops worth comparing with; on one core, batches alone."""
    found = [Way("batches, default options", True, 0, 1), Way("batches, no spinning", False, 0, 1)]
    if cores > 1:
        found += [
            Way("side by side, shared threads", False, cores, cores),
            Way("side by side, a thread each", False, 1, cores),
        ]
    return found


class BareLoop:
    """Sessions of every member, run one way."""

    def __init__(self, graphs: Sequence[Path], way: Way) -> None:
        self.name = way.name
        self._sessions = [open_session(graph, threads=way.threads, spinning=way.spinning) for graph in graphs]
        self._callers = ThreadPoolExecutor(way.callers) if way.callers > 1 else None
        self._warm: set[int] = set()  # batch sizes whose memory is there

    def run(self, chips_BHWC: npt.NDArray[Pixel], members: Sequence[int] | None = None) -> None:
        """Run the members, all by default, one after the other on a batch."""
        sessions = [self._sessions[member] for member in members] if members else self._sessions
        if self._callers is None or len(chips_BHWC) == 1:
            for session in sessions:
                session.run(["probabilities"], {"chips": chips_BHWC})
            return
        alone = np.split(chips_BHWC, len(chips_BHWC))
        # All jobs at once: no core waits for another one between two members.
        jobs = [
            self._callers.submit(session.run, ["probabilities"], {"chips": chip})
            for session in sessions
            for chip in alone
        ]
        for job in jobs:
            job.result()

    def rate(
        self, chips_BHWC: npt.NDArray[Pixel], seconds: float, members: Sequence[int] | None = None
    ) -> float:
        """Return chips per second over whole batches, for at least so long."""
        if len(chips_BHWC) not in self._warm:
            self._warm.add(len(chips_BHWC))
            self.run(chips_BHWC)
        began_s, batches = perf_counter(), 0
        while (passed_s := perf_counter() - began_s) < seconds or not batches:
            self.run(chips_BHWC, members)
            batches += 1
        return batches * len(chips_BHWC) / passed_s

    def latencies_ms(self, chips_BHWC: npt.NDArray[Pixel], seconds: float) -> list[float]:
        """Return how long each run on one chip took, for at least so long."""
        self.run(chips_BHWC[:1])
        began_s = perf_counter()
        found: list[float] = []
        while not found or perf_counter() - began_s < seconds:
            for chip_HWC in chips_BHWC:
                start_s = perf_counter()
                self.run(chip_HWC[None])
                found.append(1000 * (perf_counter() - start_s))
        return found
