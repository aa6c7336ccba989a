"""The members on the CPU: chips side by side, each on one core; a lone chip on all.

A convolution shared by the cores waits for the slowest at every layer, and a batch of chips
leaves the caches between two layers: one chip per core at a time answers more chips per second
than either, in less memory. A chip that comes alone is answered sooner by all cores together, for
which every member is there a second time.

Shape suffixes: B chips, H height, W width, C bands, L labels.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.contract.manifest import EVIDENCE, INPUT, PROBABILITIES, Pixel

AT_ONCE = 8  # most chips in one run: more would take memory, and leave the caches


class CpuRunner:
    """Sessions, and the threads that call them."""

    def __init__(
        self,
        sessions: Sequence[ort.InferenceSession],
        side_by_side: int,
        alone: Sequence[ort.InferenceSession] | None = None,
        busy: "_Busy | None" = None,
    ) -> None:
        """Take the members' sessions.

        Args:
            sessions: one per member.
            side_by_side: chips answered at a time, each alone; 1: a session runs several at once.
            alone: the same members for a chip that no other runs beside; the sessions if None.
            busy: what runs on the same cores, if other runners do.
        """
        self._sessions, self._alone, self._side_by_side = sessions, alone or sessions, side_by_side
        self._callers = ThreadPoolExecutor(side_by_side, "member") if side_by_side > 1 else None
        self._busy = busy or _Busy()

    def load(self, chips_BHWC: npt.NDArray[Pixel]) -> "CpuBatch":
        """Take chips; they stay where they are."""
        return CpuBatch(chips_BHWC, self._sessions, self._alone, self._callers, self._busy)

    @property
    def at_once(self) -> int:
        """Most chips of one run."""
        return 1 if self._side_by_side > 1 else AT_ONCE

    def lanes(self) -> list["CpuRunner"]:
        """Return a runner for each chip that may be answered at a time."""
        if self._side_by_side == 1:
            return [self]
        return [CpuRunner(self._sessions, 1, self._alone, self._busy) for _ in range(self._side_by_side)]

    def close(self) -> None:
        """End the threads."""
        if self._callers:
            self._callers.shutdown()

    def warm_up(self, shape_HWC: tuple[int, int, int], dtype: str, max_batch: int) -> None:
        """Do nothing: a first run costs no more than any other."""


@dataclass(frozen=True, slots=True)
class CpuBatch:
    """Chips that the members read where they lie."""

    chips_BHWC: npt.NDArray[Pixel]
    sessions: Sequence[ort.InferenceSession]
    alone: Sequence[ort.InferenceSession]  # where no other chip runs
    callers: ThreadPoolExecutor | None
    busy: "_Busy"

    def run(self, member: int) -> npt.NDArray[np.float32]:
        """Run one member: float32 (B,L)."""
        if len(self.chips_BHWC) == 1:
            with self.busy as others:
                return probabilities((self.sessions if others else self.alone)[member], self.chips_BHWC)
        size, run = (1, self.callers.map) if self.callers else (AT_ONCE, map)
        return np.concatenate(list(run(partial(probabilities, self.sessions[member]), self._parts(size))))

    def explain(self, member: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Run one member: probabilities (B,L) and evidence (B,L,h,w), float32."""
        with self.busy as others:
            session = (self.sessions if others else self.alone)[member]
            found = [session.run([PROBABILITIES, EVIDENCE], {INPUT: part}) for part in self._parts(AT_ONCE)]
        probs, maps = zip(*found, strict=True)
        return np.concatenate(probs), np.concatenate(maps)

    def _parts(self, size: int) -> list[npt.NDArray[Pixel]]:
        return [self.chips_BHWC[start : start + size] for start in range(0, len(self.chips_BHWC), size)]


class _Busy:
    """How many runs are inside."""

    def __init__(self) -> None:
        self._inside, self._lock = 0, threading.Lock()

    def __enter__(self) -> int:
        with self._lock:
            self._inside += 1
            return self._inside - 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1


def probabilities(session: ort.InferenceSession, chips_BHWC: npt.NDArray[Pixel]) -> npt.NDArray[np.float32]:
    """Run a graph: (B,H,W,C) → float32 (B,L)."""
    found: list[Any] = session.run([PROBABILITIES], {INPUT: chips_BHWC})
    return np.asarray(found[0])
