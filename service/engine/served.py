"""A loaded bundle: opened, proven on its golden answers, queued, decoded for, and counted.

Several may be loaded at a time; `swap.versions` says which of them answers. Knows no HTTP.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy.typing as npt
from prometheus_client import Counter

from service.client.files import printable
from service.contract.bundle import Bundle
from service.contract.errors import ChipError, ClientGone, DeadlinePassed, NotReady
from service.contract.manifest import Pixel
from service.contract.rules import Vote
from service.engine.batching import Engine
from service.engine.cuda import device_memory
from service.engine.decoding import Decoders
from service.engine.ensemble import Ensemble
from service.engine.fallback import open_ensemble
from service.engine.queue.admission import Admission
from service.engine.queue.ticket import Ticket
from service.engine.queue.watchdog import watch
from service.engine.stages import of_chip
from service.engine.trial import passed
from service.engine.verdict import Verdict
from service.metrics import Metrics
from service.settings import Settings

logger = logging.getLogger("chipvote")

RESTART_S = 10  # until a supervisor has started the process again, give or take


def _nothing() -> None:
    """Do nothing."""


@dataclass(eq=False)
class Served:
    """A bundle that can answer, opened by `open_served` and used on its event loop."""

    bundle: Bundle
    ensemble: Ensemble  # to be asked where it runs; only the engine may run it
    engine: Engine[Ensemble]
    decoders: Decoders
    admission: Admission
    metrics: Metrics
    watchdog_s: float
    stuck: bool = False  # a thread is: nothing is answered any more
    on_stuck: Callable[[], None] = _nothing  # called then, once
    _predicted: list[Counter] = field(init=False)  # of each label, in the bundle's order

    def __post_init__(self) -> None:
        """Watch the threads."""
        self._predicted = [self.metrics.predicted.labels(label) for label in self.bundle.label_names]
        workers = [*self.engine.workers, *self.decoders.workers]
        self._watchdog = asyncio.create_task(watch(workers, self.watchdog_s, self.abandon))

    @property
    def name(self) -> str:
        """The name of the bundle's folder."""
        return printable(self.bundle.folder.name or self.bundle.folder.resolve().name)

    @property
    def version(self) -> str:
        """The bundle's version, which tells it from every other that is loaded."""
        return self.bundle.manifest.version

    def show(self) -> None:
        """Have the metrics tell of this bundle."""
        manifest, metrics = self.bundle.manifest, self.metrics
        device, precision = self.ensemble.device, self.ensemble.precision
        metrics.bundle.info(
            {"name": manifest.name, "version": manifest.version, "device": device, "precision": precision}
        )
        metrics.slots.set(self.admission.places)
        metrics.taken.set_function(lambda: self.admission.on_way)
        metrics.expected_wait.set_function(self.admission.expected_s)
        metrics.ready.set_function(lambda: self.admission.ready)
        metrics.queue_depth.set_function(lambda: self.engine.depth)
        for label in manifest.labels:
            metrics.prevalence.labels(label.name).set(label.prevalence)
        if device == "cuda":
            # Not before: while launches are recorded, no other thread should ask CUDA for anything.
            metrics.device_memory.set_function(device_memory)

    async def vote(self, ticket: Ticket, data: bytes, explain: bool = False) -> Verdict:
        """Decode one chip of an accepted request, and wait for its answer.

        Answers and errors are counted. With `explain`, all members' probabilities and the evidence
        come along.

        Raises:
            ChipError: the bytes are no chip that the bundle takes.
            OutOfMemory: there is too little to decode it.
            ServiceError: the engine failed on this chip's batch, or the request was ended.
        """
        stages = of_chip()
        warnings: list[str] = []
        vote = await self._counted(
            ticket.vote(
                lambda answer: self.decoders.put(data, answer, ticket.line, explain, stages, warnings)
            )
        )
        return vote._replace(warnings=warnings) if warnings else vote

    async def vote_on(
        self, ticket: Ticket, chip_HWC: npt.NDArray[Pixel], explain: bool = False, within_s: float = math.inf
    ) -> Verdict:
        """Have a chip of the bundle's shape answered; the rest is as in `vote`.

        Raises:
            DeadlinePassed: it was not answered in this time from when it got its place.
            ServiceError: as in `vote`.
        """
        stages = of_chip()
        return await self._counted(
            ticket.vote(
                lambda answer: self.engine.put(chip_HWC, answer, ticket.line, explain, stages), within_s
            )
        )

    async def _counted(self, answer: Awaitable[Verdict]) -> Verdict:
        """Wait for a chip's answer, and count what becomes of it."""
        outcomes = self.metrics.chips
        try:
            vote = await answer
        except ChipError as error:
            self.count_refused(error)
            raise
        except (DeadlinePassed, ClientGone) as error:
            outcomes.labels("dropped").inc()
            self.metrics.dropped.labels(error.title).inc()
            raise
        except Exception:
            outcomes.labels("failed").inc()
            raise
        self.metrics.answered.inc()
        self._count(vote)
        return vote

    def count_refused(self, error: ChipError) -> None:
        """Count a chip that is none, here or where it was cut from a scene."""
        self.metrics.chips.labels("refused").inc()
        self.metrics.refused.labels(error.title).inc()

    async def close(self, within_s: float | None = None) -> None:
        """Accept nothing more, answer what was accepted, end the threads; leave one that hangs.

        Args:
            within_s: after which requests that are still open are answered by an error, and after
                which once more threads that have not ended are left; None: never.
        """
        try:
            async with asyncio.timeout(within_s):
                await self.admission.close()
        except TimeoutError:
            self.admission.abandon(
                NotReady(f"version {self.version} is not loaded any more; send the request again", 1)
            )
            await self.admission.close()
        ending = asyncio.gather(self.engine.stop(), self.decoders.stop())
        # What a trial gave them is not among what was accepted, and a thread may hang at it.
        tasks = (ending, self._watchdog)
        await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        del self._watchdog  # its end would hold this object, which holds the networks
        self.on_stuck = _nothing  # as might this

    def abandon(self, trouble: str) -> None:
        """Answer everybody by a refusal, because a thread will answer nobody any more."""
        logger.critical("%s: version %s answers no more chips", trouble, self.version)
        self.admission.abandon(
            NotReady("the service is stuck and starts again; send the request again in a moment", RESTART_S)
        )
        self.stuck = True
        self.on_stuck()

    def _count(self, vote: Verdict) -> None:
        for counter, predicted in zip(self._predicted, vote.predicted, strict=True):
            if predicted:
                counter.inc()
        self.metrics.members.observe(vote.members)
        # Of a chip that stopped early nobody knows what the other members would have said.
        manifest = self.bundle.manifest
        if isinstance(manifest.decision, Vote) and vote.members == len(manifest.members):
            self.metrics.margin.observe(manifest.decision.margin(vote.votes))
            self.metrics.contested.observe(manifest.decision.contested(vote.votes))


async def open_served(
    loaded: Bundle, settings: Settings, metrics: Metrics, *, proven: bool = False
) -> Served:
    """Open a bundle; from then on chips are accepted.

    Args:
        loaded: the bundle.
        settings: how it runs.
        metrics: where its answers are counted.
        proven: another process has opened it; this one answers by another bundle meanwhile, and no
            trial may end it.

    Raises:
        StartupError: it cannot be served on this machine; says why, and the fix.
    """
    if proven:
        # Recording launches would fail what the other bundle asks of the GPU meanwhile.
        settings = settings.model_copy(update={"cuda_graphs": False})

    def opened() -> Ensemble:
        with passed() if proven else nullcontext():
            return open_ensemble(loaded, settings)

    engine = Engine(opened, max_batch=settings.max_batch, metrics=metrics)
    ensemble = await engine.start()
    decoders = Decoders(engine, loaded.manifest.input, settings.decode_threads)
    # Twice a batch keeps the engine busy: one batch in it, one being decoded.
    admission = Admission(settings.queue_size, 2 * settings.max_batch, ensemble.chips_per_s)
    admission.open()
    return Served(loaded, ensemble, engine, decoders, admission, metrics, settings.watchdog_s)
