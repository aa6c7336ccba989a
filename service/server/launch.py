"""Runs one app on a socket until a signal ends it.

Starts the app's lifespan itself, so that a `StartupError` comes out as itself before the
port opens, and so that the drain after SIGTERM ends before the process does.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from service.contract.errors import SettingsError
from service.contract.memory import give_back_after_bursts, give_back_large_buffers
from service.server.app import create_app
from service.server.edge.configuration import configuration
from service.server.edge.limits import Limits, limits
from service.server.logs import lines
from service.server.state import Running
from service.settings import Settings

logger = logging.getLogger("chipvote")

BACKLOG = 2048  # connections that the system keeps until they are taken
# Of every connection: by itself the system would keep up to 4 MB of answers that nobody reads.
SEND_BUFFER_BYTES = 256 << 10
STUCK = 70  # the exit status of a process that cannot go on (EX_SOFTWARE of sysexits.h)
LAST_ANSWERS_S = 2  # for refusals to go out, and probes to see it, before such a process ends; twice


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests being answered then still are.

    Ends the process with status 70 if a thread gets stuck.

    Raises:
        StartupError: the service cannot run; nobody could connect yet.
    """
    _refuse_strangers(settings)
    with lines.configured(settings.log_format):
        _serve(settings)


def _serve(settings: Settings) -> None:
    give_back_large_buffers()
    bounds = limits(settings)
    app = create_app(settings)
    config = configuration(
        app,
        bounds,
        lifespan="off",
        log_config=None,  # `lines` has the form of all that is written
        access_log=False,  # `requests` tells more
        proxy_headers=False,  # so does it of the client's address
        timeout_graceful_shutdown=settings.shutdown_s,
    )

    async def run(bound: socket.socket) -> None:
        async with app.router.lifespan_context(app):
            with _refused(settings):  # another process may have been quicker
                bound.listen(BACKLOG)
            _announce(app.state.running, bound, bounds)
            give_back_after_bursts()
            # What is there now stays. Looking through it again and again would hold up everybody,
            # for some 30 ms each time.
            gc.freeze()
            # uvicorn repeats the signal once it has closed its connections; the lifespan
            # must end before the process, so the repetition must not kill it.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            stuck = await _serve_on(bound, config, app.state.running.versions.stuck)
        logger.info("stopped")
        if stuck:
            # Python would wait for the stuck thread, some of them for ever.
            logging.shutdown()
            os._exit(STUCK)

    # Bound first: that a port is taken should not be said after a minute of loading.
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as bound:
        with _refused(settings):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            bound.bind((settings.host, settings.port))
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run(bound))


def _refuse_strangers(settings: Settings) -> None:
    """Refuse to listen where others can reach a service that asks for no key."""
    if not (settings.alone or settings.keys or settings.open):
        raise SettingsError(
            f"CHIPVOTE_HOST={settings.host}: others may reach this address, and no key is asked for; make "
            "keys (`chipvote key`) and set CHIPVOTE_KEYS, or, where something before it decides who may "
            "ask, set CHIPVOTE_OPEN=true (--open)"
        )


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


@contextmanager
def _refused(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        host, port = settings.host, settings.port
        raise SettingsError(
            f"CHIPVOTE_HOST={host} CHIPVOTE_PORT={port}: cannot listen there ({error.strerror}); "
            "set another port or address, or stop what uses it"
        ) from error


def _announce(running: Running, listener: socket.socket, bounds: Limits) -> None:
    host, port = listener.getsockname()[:2]
    served = running.versions.current
    manifest, ensemble = served.bundle.manifest, served.ensemble
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
