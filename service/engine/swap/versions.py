"""What is loaded: the bundle that answers, and at most one other beside it.

The other is the one before, for a way back, or one that is tried unseen. Changed on the event loop,
in one step: a request takes its `Served` once, and all its chips are answered by that one.

Shape suffixes: H height, W width, C bands.
"""

import asyncio
import logging
from collections import deque

import numpy as np
import numpy.typing as npt

from service.contract.bundle import load
from service.contract.errors import NoSuchVersion
from service.contract.manifest import Pixel
from service.engine.served import Served, open_served
from service.engine.swap.shadow import Shadow
from service.engine.verdict import Verdict
from service.metrics import Metrics
from service.settings import Settings

logger = logging.getLogger("chipvote")

MOST_RECENT_BYTES = 1 << 26


class Versions:
    """The loaded bundles; `current` answers whoever asks for no version."""

    def __init__(self, current: Served, settings: Settings, metrics: Metrics) -> None:
        """Have one bundle answer."""
        self.current = current
        self.other: Served | None = None
        self.shadow: Shadow | None = None  # by which the other is tried
        self.stuck = asyncio.Event()  # what answers is; the process must end
        self._metrics, self._deadline_s = metrics, settings.deadline_s
        spec = current.bundle.manifest.input
        chip_bytes = spec.height * spec.width * len(spec.bands) * np.dtype(spec.dtype).itemsize
        most = min(settings.swap_chips, MOST_RECENT_BYTES // chip_bytes) if settings.bundles else 0
        self._recent: deque[tuple[npt.NDArray[Pixel], Verdict]] = deque(maxlen=most)
        self._watch(current)
        self._show()

    def of(self, version: str | None = None) -> Served:
        """Return what answers requests for a version, or for none.

        Raises:
            NoSuchVersion: it is not loaded.
        """
        if version is None or version == self.current.version:
            return self.current
        if self.other and version == self.other.version:
            return self.other
        loaded = ", ".join(served.version for served in self._loaded)
        raise NoSuchVersion(f"version={version} is not loaded; loaded: {loaded}")

    def recent(self) -> list[tuple[npt.NDArray[Pixel], Verdict]]:
        """Return the last chips (H,W,C) that were answered, with their answers."""
        return list(self._recent)

    def switch(self, to: Served) -> None:
        """Let another bundle answer from now on; the one before stays loaded.

        Whatever is loaded besides must have been dropped.
        """
        self.shadow = None
        if to is not self.other:
            self._watch(to)
        self.current, self.other = to, self.current
        self._recent.clear()  # the next one is compared with what answers then
        self._show()
        logger.info("%s answers now, in the place of %s", to.version, self.other.version)

    def try_unseen(self, candidate: Served, share: float) -> None:
        """Let a bundle answer a share of the chips beside the one that is heard."""
        self._watch(candidate)
        self.other = candidate
        self.shadow = Shadow(self.current, candidate, share, self._metrics)
        self._show()

    async def drop_other(self) -> None:
        """Close what is loaded besides, once it has answered all it accepted or had its time."""
        other, self.other, self.shadow = self.other, None, None
        self._show()
        if other:
            await other.close(self._deadline_s or None)  # 0: no deadline

    async def close(self) -> None:
        """Close all of them."""
        await asyncio.gather(*(served.close() for served in self._loaded))

    @property
    def _loaded(self) -> list[Served]:
        return [self.current, *([self.other] if self.other else [])]

    def _show(self) -> None:
        for served in self._loaded:
            served.engine.tap = None
        if self._recent.maxlen or self.shadow:
            self.current.engine.tap = self._see
        self.current.show()

    def _see(self, chip_HWC: npt.NDArray[Pixel], answer: Verdict) -> None:
        self._recent.append((chip_HWC, answer))
        if shadow := self.shadow:
            shadow.offer(chip_HWC, answer)

    def _watch(self, served: Served) -> None:
        def lose() -> None:
            if served is self.current:
                self._metrics.stuck.set(1)
                self.stuck.set()
            elif served is self.other:
                self.other = self.shadow = None
                self._show()
                self._lost = asyncio.create_task(served.close())

        served.on_stuck = lose


async def open_versions(settings: Settings, metrics: Metrics) -> Versions:
    """Open the settings' bundle, and let it answer.

    Raises:
        StartupError: it cannot be served on this machine; says why, and the fix.
    """
    return Versions(await open_served(load(settings.bundle), settings, metrics), settings, metrics)
