"""Every Prometheus object of one service, in a registry of its own.

Each app builds one `Metrics`, so two apps in one process do not share counts. The
modules that see an event count it here; the HTTP route only prints the registry.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.contract.errors import ChipError, ClientGone, DeadlinePassed

CONTENT_TYPE = CONTENT_TYPE_LATEST

# One chip on a GPU takes milliseconds, a full request on a small CPU a minute.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_MEMBERS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30)
_LABELS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30)
_CHIPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class DeviceMemory(Collector):
    """The memory of the device, read anew for every scrape; no metric where nobody can tell."""

    def __init__(self) -> None:
        self._read: Callable[[], tuple[int, int] | None] = lambda: None

    def set_function(self, read: Callable[[], tuple[int, int] | None]) -> None:
        """Take what tells bytes in use and bytes in all."""
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read."""
        if found := self._read():
            family = GaugeMetricFamily(
                "chipvote_device_memory_bytes",
                "Bytes of the GPU's memory, used (by this process or another) and total; only on CUDA.",
                labels=["kind"],
            )
            for kind, size_bytes in zip(("used", "total"), found, strict=True):
                family.add_metric([kind], size_bytes)
            yield family


class ChipHistogram(Collector):
    """A histogram of what one thread alone observes, of every chip: without the library's locks."""

    def __init__(self, name: str, text: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._text = name, text
        self._bounds = [*map(float, buckets), math.inf]
        self._counts, self._sum = [0] * len(self._bounds), 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Tell what was counted."""
        family = HistogramMetricFamily(self._name, self._text, labels=[])
        bounds = map(floatToGoString, self._bounds)
        family.add_metric([], list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)
        yield family


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.bundle = Info(
            "chipvote_bundle", "The bundle being served and where it runs.", registry=self.registry
        )
        self.requests = Counter(
            "chipvote_requests", "Answered requests.", ["route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "chipvote_request_seconds",
            "Seconds from a request's first byte to its answer's last.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.key_requests = Counter(
            "chipvote_key_requests",
            "Answered requests by the name of the key; none where the service asks for no key.",
            ["key", "status"],
            registry=self.registry,
        )
        self.key_chips = Counter(
            "chipvote_key_chips", "Chips that came with a key.", ["key"], registry=self.registry
        )
        self.chips = Counter(
            "chipvote_chips",
            "Chips by outcome: answered, refused (the chip is bad), failed (the service is) or dropped "
            "(nobody waits for it any more).",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("answered", "refused", "failed", "dropped"):
            self.chips.labels(outcome)  # there from the start, or a rate would miss the first ones
        self.answered = self.chips.labels("answered")
        self.refused = Counter(
            "chipvote_refused_chips", "Refused chips by what is wrong.", ["reason"], registry=self.registry
        )
        for kind in ChipError.__subclasses__():
            self.refused.labels(kind.title)
        self.dropped = Counter(
            "chipvote_dropped_chips",
            "Chips that nobody waited for any more, by why.",
            ["reason"],
            registry=self.registry,
        )
        for error in (DeadlinePassed, ClientGone):
            self.dropped.labels(error.title)
        self.predicted = Counter(
            "chipvote_labels_predicted", "Chips that got this label.", ["label"], registry=self.registry
        )
        self.swaps = Counter(
            "chipvote_swaps",
            "Swaps to another bundle, by how they ended.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("done", "refused"):
            self.swaps.labels(outcome)
        self.shadow_chips = Counter(
            "chipvote_shadow_chips",
            "Chips given to a bundle that is tried unseen: same or different label set, failed, or skipped "
            "because it had enough to do.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("same", "different", "failed", "skipped"):
            self.shadow_chips.labels(outcome)
        self.shadow_labels = Counter(
            "chipvote_shadow_labels",
            "Chips to which a bundle that is tried unseen gave a label that the other did not (added), or "
            "the reverse (removed).",
            ["label", "change"],
            registry=self.registry,
        )
        self.prevalence = Gauge(
            "chipvote_label_prevalence",
            "Share of the training chips that had this label.",
            ["label"],
            registry=self.registry,
        )
        self.slots = Gauge(
            "chipvote_queue_places", "Most chips accepted and not yet answered.", registry=self.registry
        )
        self.taken = Gauge(
            "chipvote_queue_places_taken",
            "Chips accepted and not yet answered: waiting to be decoded, for the engine, or in it.",
            registry=self.registry,
        )
        self.expected_wait = Gauge(
            "chipvote_expected_wait_seconds",
            "Seconds that one more chip would wait for its answer, from the rate of the last answers.",
            registry=self.registry,
        )
        self.stuck = Gauge(
            "chipvote_stuck",
            "1 once a thread hangs or has died, and the process is about to end.",
            registry=self.registry,
        )
        self.body_bytes = Gauge(
            "chipvote_body_bytes",
            "Bytes of bodies being read, or held until their chips are answered.",
            registry=self.registry,
        )
        self.most_body_bytes = Gauge(
            "chipvote_body_bytes_most", "Most bytes of all such bodies together.", registry=self.registry
        )
        self.ready = Gauge(
            "chipvote_ready", "1 while the service accepts chips, 0 before and after.", registry=self.registry
        )
        self.queue_depth = Gauge(
            "chipvote_queue_chips", "Chips waiting for the engine.", registry=self.registry
        )
        self.batch_size = Histogram(
            "chipvote_batch_chips",
            "Chips that the engine took at once.",
            buckets=_CHIPS,
            registry=self.registry,
        )
        self.members = ChipHistogram(
            "chipvote_chip_members", "Members that ran for one chip.", _MEMBERS, self.registry
        )
        whole = "Chips that all members voted on; none where the rule is no vote."
        self.margin = ChipHistogram(
            "chipvote_vote_margin",
            "Least weight of votes that must change sides before one of the chip's labels ends otherwise; "
            f"1: a single vote. {whole}",
            _MEMBERS,
            self.registry,
        )
        self.contested = ChipHistogram(
            "chipvote_contested_labels",
            f"Labels of one chip on which members disagreed. {whole}",
            _LABELS,
            self.registry,
        )
        self.engine_seconds = Histogram(
            "chipvote_engine_seconds",
            "Seconds the engine spent on one batch, all members that ran.",
            buckets=_SECONDS,
            registry=self.registry,
        )

        self.device_memory = DeviceMemory()
        self.registry.register(self.device_memory)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
