"""One bundle being served: opened, proven on its golden answers, queued, decoded for, and counted.

The process around it keeps settings, metrics and which `Served` answers; several may be there at a
time. Knows no HTTP.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import Counter

from service.contract.bundle import Bundle, load
from service.contract.errors import ChipError, ClientGone, DeadlinePassed, NotReady
from service.contract.rules import Vote
from service.engine.batching import Engine
from service.engine.cuda import device_memory
from service.engine.decoding import Decoders
from service.engine.ensemble import Ensemble
from service.engine.fallback import open_ensemble
from service.engine.queue.admission import Admission, Ticket
from service.engine.queue.watchdog import watch
from service.engine.verdict import Verdict
from service.metrics import Metrics
from service.settings import Settings

logger = logging.getLogger("chipvote")

RESTART_S = 10  # until a supervisor has started the process again, give or take


@dataclass(frozen=True)
class Served:
    """A bundle that answers. Made by `serving`, and used on its event loop."""

    bundle: Bundle
    ensemble: Ensemble  # to be asked where it runs; only the engine may run it
    engine: Engine[Ensemble]
    decoders: Decoders
    admission: Admission
    metrics: Metrics
    stuck: asyncio.Event = field(default_factory=asyncio.Event)  # a thread is; the process must end
    predicted: list[Counter] = field(init=False)  # of each label, in the bundle's order

    def __post_init__(self) -> None:
        """Have every counter there from the start, or a rate would miss the first ones."""
        manifest, metrics = self.bundle.manifest, self.metrics
        device, precision = self.ensemble.device, self.ensemble.precision
        metrics.bundle.info(
            {"name": manifest.name, "version": manifest.version, "device": device, "precision": precision}
        )
        metrics.slots.set(self.admission.places)
        metrics.taken.set_function(lambda: self.admission.on_way)
        metrics.expected_wait.set_function(self.admission.expected_s)
        metrics.ready.set_function(lambda: self.admission.ready)
        for label in manifest.labels:
            metrics.prevalence.labels(label.name).set(label.prevalence)
        predicted = [metrics.predicted.labels(label) for label in self.bundle.label_names]
        object.__setattr__(self, "predicted", predicted)
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
        outcomes = self.metrics.chips
        try:
            vote = await ticket.vote(lambda answer: self.decoders.put(data, answer, ticket.line, explain))
        except ChipError as error:
            outcomes.labels("refused").inc()
            self.metrics.refused.labels(error.title).inc()
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

    def abandon(self, trouble: str) -> None:
        """Answer everybody by a refusal, because a thread will answer nobody any more."""
        logger.critical("%s: no more chips are answered; the process must be started again", trouble)
        self.metrics.stuck.set(1)
        self.admission.abandon(
            NotReady("the service is stuck and starts again; send the request again in a moment", RESTART_S)
        )
        self.stuck.set()

    def _count(self, vote: Verdict) -> None:
        for counter, predicted in zip(self.predicted, vote.predicted, strict=True):
            if predicted:
                counter.inc()
        self.metrics.members.observe(vote.members)
        # Of a chip that stopped early nobody knows what the other members would have said.
        manifest = self.bundle.manifest
        if isinstance(manifest.decision, Vote) and vote.members == len(manifest.members):
            self.metrics.margin.observe(manifest.decision.margin(vote.votes))
            self.metrics.contested.observe(manifest.decision.contested(vote.votes))


@asynccontextmanager
async def serving(settings: Settings, metrics: Metrics) -> AsyncIterator[Served]:
    """Open the settings' bundle; at the end, answer what was accepted and close it.

    Raises:
        StartupError: it cannot be served on this machine; says why, and the fix.
    """
    loaded = load(settings.bundle)
    engine = Engine(lambda: open_ensemble(loaded, settings), max_batch=settings.max_batch, metrics=metrics)
    ensemble = await engine.start()
    decoders = Decoders(engine, loaded.manifest.input, settings.decode_threads)
    # Twice a batch keeps the engine busy: one batch in it, one being decoded.
    admission = Admission(settings.queue_size, 2 * settings.max_batch, ensemble.chips_per_s)
    served = Served(loaded, ensemble, engine, decoders, admission, metrics)
    watchdog = asyncio.create_task(
        watch([*engine.workers, *decoders.workers], settings.watchdog_s, served.abandon)
    )
    admission.open()
    try:
        yield served
    finally:
        await admission.close()
        watchdog.cancel()
        if not served.stuck.is_set():  # nobody can wait for a stuck thread
            await engine.stop()
            decoders.close()
