"""One bundle being served: opened, proven on its golden answers, queued, decoded for, and counted.

The process around it keeps settings, metrics and which `Served` answers; several may be there at a
time. Knows no HTTP.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import Counter

from service.contract.bundle import Bundle, load
from service.contract.errors import ChipError
from service.contract.rules import Vote
from service.engine.batching import Engine
from service.engine.cuda import device_memory
from service.engine.decoding import Decoders
from service.engine.ensemble import Ensemble
from service.engine.fallback import open_ensemble
from service.engine.verdict import Verdict
from service.metrics import Metrics
from service.settings import Settings


@dataclass(frozen=True)
class Served:
    """A bundle that answers. Made by `serving`, and used on its event loop."""

    bundle: Bundle
    ensemble: Ensemble  # to be asked where it runs; only the engine may run it
    engine: Engine[Ensemble]
    decoders: Decoders
    metrics: Metrics
    predicted: list[Counter] = field(init=False)  # of each label, in the bundle's order

    def __post_init__(self) -> None:
        """Have every counter there from the start, or a rate would miss the first ones."""
        manifest, metrics = self.bundle.manifest, self.metrics
        device, precision = self.ensemble.device, self.ensemble.precision
        metrics.bundle.info(
            {"name": manifest.name, "version": manifest.version, "device": device, "precision": precision}
        )
        for label in manifest.labels:
            metrics.prevalence.labels(label.name).set(label.prevalence)
        predicted = [metrics.predicted.labels(label) for label in self.bundle.label_names]
        object.__setattr__(self, "predicted", predicted)
        if device == "cuda":
            # Not before: while launches are recorded, no other thread should ask CUDA for anything.
            metrics.device_memory.set_function(device_memory)

    async def vote(self, data: bytes, explain: bool = False) -> Verdict:
        """Decode one chip, under a reserved slot of the engine, and wait for its answer.

        Answers and errors are counted. With `explain`, all members' probabilities and the evidence
        come along.

        Raises:
            ChipError: the bytes are no chip that the bundle takes.
            OutOfMemory: there is too little to decode it.
            ServiceError: the engine failed on this chip's batch.
        """
        outcomes = self.metrics.chips
        try:
            vote = await self.decoders.vote(data, explain)
        except ChipError as error:
            outcomes.labels("refused").inc()
            self.metrics.refused.labels(error.title).inc()
            raise
        except Exception:
            outcomes.labels("failed").inc()
            raise
        outcomes.labels("answered").inc()
        self._count(vote)
        return vote

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
    engine = Engine(
        lambda: open_ensemble(loaded, settings),
        max_batch=settings.max_batch,
        queue_size=settings.queue_size,
        metrics=metrics,
    )
    ensemble = await engine.start()
    decoders = Decoders(engine, loaded.manifest.input, settings.decode_threads)
    try:
        yield Served(loaded, ensemble, engine, decoders, metrics)
    finally:
        await engine.stop()
        decoders.close()
