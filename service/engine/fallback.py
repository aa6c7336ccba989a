"""A bundle → a proven ensemble: the first way to run it that gives its golden answers here.

Processors and drivers differ, and what is fastest may be wrong on one of them. Then the next
precision of the bundle is tried, and the log and `GET /model` tell; the service refuses to start
only when none is left. Knows settings and ensembles; nothing of HTTP.
"""

import logging

from service.contract.bundle import Bundle
from service.contract.errors import DeviceError, WrongAnswers
from service.engine.ensemble import Ensemble
from service.engine.placement import Rung
from service.engine.sessions import Gpu
from service.settings import Settings

logger = logging.getLogger("chipvote")


def gpu_of(settings: Settings) -> Gpu:
    """Return how the settings have a GPU used."""
    return Gpu(settings.gpu_memory_bytes, settings.cuda_graphs, settings.tensorrt)


def open_ensemble(loaded: Bundle, settings: Settings) -> Ensemble:
    """Open a bundle's ensemble, at the best precision that gives its golden answers here.

    A precision or a device that the settings name is never replaced by another.

    Raises:
        StartupError: see `Ensemble`.
        WrongAnswers: no way that is allowed gives the golden answers; says what else there is.
    """
    passed_over: dict[Rung, str] = {}
    while True:
        try:
            ensemble = Ensemble(
                loaded,
                settings.device,
                settings.precision,
                settings.threads,
                gpu_of(settings),
                settings.max_batch,
                early_exit=settings.early_exit,
                passed_over=passed_over,
            )
        except DeviceError:
            if not passed_over:
                raise
            raise WrongAnswers(_advice(loaded, settings, passed_over)) from None  # nothing is left
        try:
            ensemble.self_test()
        except WrongAnswers as error:
            logger.warning("%s; passed over", error)
            passed_over[Rung(ensemble.device, ensemble.precision)] = str(error)
            del ensemble  # before the next one needs the device's memory
        else:
            ensemble.warm_up(settings.max_batch)
            return ensemble


def _advice(loaded: Bundle, settings: Settings, passed_over: dict[Rung, str]) -> str:
    """Say what was found, and what else the bundle at hand makes possible."""
    others = loaded.manifest.precisions - {rung.precision for rung in passed_over}
    ways = []
    if settings.precision != "auto" and others:
        ways.append(f"set CHIPVOTE_PRECISION=auto (the bundle also has {', '.join(sorted(others))})")
    if settings.device == "cuda":
        ways.append("set CHIPVOTE_DEVICE=cpu")
    ways.append("export the bundle again on this kind of machine")
    found = "; ".join(reason.removesuffix("; export the bundle again") for reason in passed_over.values())
    return f"{found}: {', or '.join(ways)}"
