"""A bundle that answers some of the chips unseen, so that it can be compared before it is heard.

It takes its share of the processors, and never more work than it gets done: chips that would have
to wait for long are left out, and counted.

Shape suffixes: H height, W width, C bands.
"""

import asyncio
import random
from functools import partial

import numpy.typing as npt

from service.client import schemas
from service.contract.manifest import Pixel
from service.engine.queue.fair_queue import Line
from service.engine.queue.ticket import Pending
from service.engine.served import Served
from service.engine.swap.differences import Counted
from service.engine.verdict import Verdict
from service.metrics import Metrics

MOST = 64  # chips that wait for it


class Shadow:
    """One candidate beside one that answers; made on the event loop."""

    def __init__(self, served: Served, candidate: Served, share: float, metrics: Metrics) -> None:
        """Compare from now on a share of the chips, 0 to 1."""
        self._served, self._candidate, self._share, self._metrics = served, candidate, share, metrics
        self._counted = Counted(candidate.bundle.label_names)
        self._under_way = self._failed = self._skipped = 0
        self._loop = asyncio.get_running_loop()

    def offer(self, chip_HWC: npt.NDArray[Pixel], answer: Verdict) -> None:
        """Compare this chip too, by chance; from any thread."""
        if random.random() < self._share:
            self._loop.call_soon_threadsafe(self._begin, chip_HWC, answer)

    def told(self) -> schemas.Shadow:
        """Return what was found so far."""
        return schemas.Shadow(
            serving=self._served.version,
            candidate=self._candidate.version,
            share=self._share,
            failed=self._failed,
            skipped=self._skipped,
            **self._counted.told(),
        )

    def _begin(self, chip_HWC: npt.NDArray[Pixel], answer: Verdict) -> None:
        if self._under_way >= MOST:
            self._skipped += 1
            self._metrics.shadow_chips.labels("skipped").inc()
            return
        self._under_way += 1
        compared: Pending = self._loop.create_future()
        compared.add_done_callback(partial(self._compare, answer))
        self._candidate.engine.put(chip_HWC, compared, Line())

    def _compare(self, served: Verdict, compared: Pending) -> None:
        self._under_way -= 1
        if compared.cancelled() or compared.exception():
            self._failed += 1
            self._metrics.shadow_chips.labels("failed").inc()
            return
        changes = self._counted.count(served, compared.result())
        self._metrics.shadow_chips.labels("different" if changes else "same").inc()
        for label, change in changes:
            self._metrics.shadow_labels.labels(label, change).inc()
