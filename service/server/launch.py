"""Runs one app on a socket until a signal ends it.

Starts the app's lifespan itself, so that a `StartupError` comes out as itself before the
port opens, and so that the drain after SIGTERM ends before the process does.
"""

import asyncio
import logging
import signal
import socket
from ipaddress import ip_address

import uvicorn

from service.contract.errors import SettingsError
from service.contract.memory import give_back_large_buffers
from service.server.app import create_app
from service.server.logs import lines
from service.server.state import Running
from service.settings import Settings

logger = logging.getLogger("chipvote")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests being answered then still are.

    Raises:
        StartupError: the service cannot run; nothing was listening yet.
    """
    _refuse_strangers(settings)
    with lines.configured(settings.log_format):
        _serve(settings)


def _serve(settings: Settings) -> None:
    give_back_large_buffers()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",  # nothing here speaks it: who asks for it is answered as any other request
        log_config=None,  # `lines` has the form of all that is written
        access_log=False,  # `requests` tells more
        proxy_headers=False,  # so does it of the client's address
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
                await uvicorn.Server(config).serve([listener])
        logger.info("stopped")

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())


def _refuse_strangers(settings: Settings) -> None:
    """Refuse to listen where others can reach a service that asks for no key."""
    try:
        alone = settings.host == "localhost" or ip_address(settings.host).is_loopback
    except ValueError:  # a name, which may be anybody's
        alone = False
    if not (alone or settings.keys or settings.open):
        raise SettingsError(
            f"CHIPVOTE_HOST={settings.host}: others may reach this address, and no key is asked for; make "
            "keys (`chipvote key`) and set CHIPVOTE_KEYS, or, where something before it decides who may "
            "ask, set CHIPVOTE_OPEN=true (--open)"
        )


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
