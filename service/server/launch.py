"""Runs one app on a socket until a signal ends it.

Starts the app's lifespan itself, so that a `StartupError` comes out as itself before the
port opens, and so that the drain after SIGTERM ends before the process does.
"""

import asyncio
import copy
import logging
import signal
import socket

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from service.contract.errors import SettingsError
from service.contract.memory import give_back_large_buffers
from service.server.app import create_app
from service.server.edge.configuration import configuration
from service.server.edge.limits import Limits, limits
from service.server.state import Running
from service.settings import Settings

logger = logging.getLogger("chipvote")

SEND_BUFFER_BYTES = 256 << 10


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests being answered then still are.

    Raises:
        StartupError: the service cannot run; nothing was listening yet.
    """
    give_back_large_buffers()
    bounds = limits(settings)
    app = create_app(settings)
    config = configuration(
        app,
        bounds,
        lifespan="off",
        log_config=_logging(),
        access_log=settings.access_log,
        timeout_graceful_shutdown=settings.shutdown_s,
    )

    async def run() -> None:
        async with app.router.lifespan_context(app):
            with _listen(settings.host, settings.port) as listener:
                _announce(app.state.running, listener, bounds)
                # uvicorn repeats the signal once it has closed its connections; the lifespan
                # must end before the process, so the repetition must not kill it.
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                await uvicorn.Server(config).serve([listener])
        logger.info("stopped")

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"CHIPVOTE_HOST={host} CHIPVOTE_PORT={port}: cannot listen there ({error.strerror}); "
            "set another port or address, or stop what uses it"
        ) from error
    # Of every connection: by itself the system would keep up to 4 MB of answers that nobody reads.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return listener


def _announce(running: Running, listener: socket.socket, bounds: Limits) -> None:
    host, port = listener.getsockname()[:2]
    manifest, ensemble = running.served.bundle.manifest, running.served.ensemble
    logger.info(
        "serving %s %s: %d member(s), %s on %s, at http://%s:%d (the interface: /docs)",
        manifest.name,
        manifest.version,
        len(manifest.members),
        ensemble.precision,
        ensemble.device,
        f"[{host}]" if ":" in host else host,
        port,
    )
    logger.info("%s", bounds)


def _logging() -> dict[str, object]:
    """Return uvicorn's format for our lines, and of uvicorn's own only the warnings."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["chipvote"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    return config
