"""Runs one app on a socket until a signal ends it.

Starts the app's lifespan itself, so that a `StartupError` comes out as itself before the
port opens, and so that the drain after SIGTERM ends before the process does.
"""

import asyncio
import copy
import logging
import os
import signal
import socket

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from service.contract.errors import SettingsError
from service.contract.memory import give_back_large_buffers
from service.server.app import create_app
from service.server.endings.connections import Connection
from service.server.state import Running
from service.settings import Settings

logger = logging.getLogger("chipvote")

STUCK = 70  # the exit status of a process that cannot go on (EX_SOFTWARE of sysexits.h)
LAST_ANSWERS_S = 2  # for refusals to go out, and probes to see it, before such a process ends; twice


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests being answered then still are.

    Ends the process with status 70 if a thread gets stuck.

    Raises:
        StartupError: the service cannot run; nothing was listening yet.
    """
    give_back_large_buffers()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        lifespan="off",
        http=Connection,
        ws="none",  # nothing here speaks it: who asks for it is answered as any other request
        log_config=_logging(),
        access_log=settings.access_log,
        timeout_graceful_shutdown=settings.shutdown_s,
    )

    async def run() -> None:
        async with app.router.lifespan_context(app):
            with _listen(settings.host, settings.port) as listener:
                _announce(app.state.running, listener)
                # uvicorn repeats the signal once it has closed its connections; the lifespan
                # must end before the process, so the repetition must not kill it.
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                stuck = await _serve_on(listener, config, app.state.running.served.stuck)
        logger.info("stopped")
        if stuck:
            # Python would wait for the stuck thread, some of them for ever.
            logging.shutdown()
            os._exit(STUCK)

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())


async def _serve_on(listener: socket.socket, config: uvicorn.Config, stuck: asyncio.Event) -> bool:
    """Serve until a signal, or until the service is stuck; tell whether it is."""
    server = uvicorn.Server(config)

    async def stop_when_stuck() -> None:
        await stuck.wait()
        await asyncio.sleep(LAST_ANSWERS_S)
        config.timeout_graceful_shutdown = LAST_ANSWERS_S
        server.should_exit = True

    watching = asyncio.create_task(stop_when_stuck())
    await server.serve([listener])
    watching.cancel()
    return stuck.is_set()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"CHIPVOTE_HOST={host} CHIPVOTE_PORT={port}: cannot listen there ({error.strerror}); "
            "set another port or address, or stop what uses it"
        ) from error


def _announce(running: Running, listener: socket.socket) -> None:
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


def _logging() -> dict[str, object]:
    """Return uvicorn's format for our lines, and of uvicorn's own only the warnings."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["chipvote"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    return config
