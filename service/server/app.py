"""Settings → a FastAPI app: start-up and shutdown, and how the parts are wired.

`create_app` does no work by itself; the app's lifespan does. It has the bundle opened and proven,
and any failure in that is a `StartupError`: the app never runs half.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from types import ModuleType

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.contract.chips.readers.pool import READERS
from service.contract.errors import SettingsError
from service.engine.swap.swapper import Swapper
from service.engine.swap.versions import open_versions
from service.metrics import Metrics
from service.server import openapi, page, problems, routes
from service.server.access.guard import Guard
from service.server.access.keyring import Keyring
from service.server.access.scopes import Needed
from service.server.body_budget import Budget
from service.server.drain import Drain
from service.server.edge.origins import Origins
from service.server.fast_path import FastPath
from service.server.layers.writing import Layers
from service.server.logs.addresses import networks
from service.server.logs.requests import Requests
from service.server.middleware import HeadAsGet, RelativeRedirects
from service.server.previews import Previews
from service.server.scenes.places import Places
from service.server.state import Running
from service.settings import Settings

_DESCRIPTION = """Satellite chips in, land-use label sets out: an ensemble votes on every label.

Every error is an RFC 9457 problem (`application/problem+json`) whose `detail` says what is accepted."""


def create_app(settings: Settings) -> FastAPI:
    """Build one service. Apps share nothing, so a process may hold several."""
    metrics = Metrics()
    keyring = Keyring(settings.keys) if settings.keys else None
    traces = _traces() if settings.traces else None
    tracing = traces.Tracing() if traces else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if keyring:
            keyring.load()
        with tracing.open() if tracing else nullcontext():
            async with _run(settings, metrics) as running:
                app.state.running = running
                yield

    app = FastAPIOffline(
        title="Chipvote",
        description=_DESCRIPTION,
        version="1",  # of this API; the bundle has its own
        servers=[{"url": ".", "description": "where this description came from"}],
        lifespan=lifespan,
        docs_url=None,  # the page has its own
        redoc_url=None,
        static_url=f"/{page.DOCS_FILES}",
        # It would tell paths and queries, and look for what could listen at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.running = None
    app.state.metrics = metrics
    app.state.tiles = page.Tiles(settings.tiles, settings.tiles_attribution)
    for router in routes.ROUTERS:
        app.include_router(router)
    app.include_router(page.router)
    # From the inside out: a request passes the last one first.
    app.add_middleware(RelativeRedirects)
    app.add_middleware(FastPath)
    if keyring:
        app.add_middleware(
            Guard,
            keyring=keyring,
            needed=Needed(routes.ROUTES, page.OPEN),
            files=page.FILES,
        )
    app.add_middleware(
        Origins, allowed=settings.origins, alone=settings.alone and not (settings.keys or settings.open)
    )
    app.add_middleware(HeadAsGet)
    app.add_middleware(Drain)
    if traces:
        app.add_middleware(traces.Traces, tracing=tracing)
    app.add_middleware(
        Requests,
        metrics=metrics,
        tell=settings.access_log,
        trusted=networks(settings.trusted_proxies),
    )
    problems.install(app)
    openapi.complete(app, asked=keyring is not None)
    return app


def _traces() -> ModuleType:
    """Return the module that traces, whose libraries only those have who want them."""
    try:
        from service.server.logs import traces
    except ImportError as error:
        raise SettingsError(
            "CHIPVOTE_TRACES=true: OpenTelemetry is not installed; `pip install 'chipvote[otel]'`"
        ) from error
    return traces


@asynccontextmanager
async def _run(settings: Settings, metrics: Metrics) -> AsyncIterator[Running]:
    budget = Budget(settings.max_inflight_bytes)
    metrics.body_bytes.set_function(lambda: budget.taken_bytes)
    metrics.most_body_bytes.set(settings.max_inflight_bytes)
    try:
        versions = await open_versions(settings, metrics)
        swapper, previews, layers = Swapper(versions, settings, metrics), Previews(), Layers()
        try:
            yield Running(
                settings,
                versions,
                swapper,
                previews,
                layers,
                Places(settings.max_scenes),
                budget,
                metrics,
            )
        finally:
            previews.close()
            layers.close()
            await swapper.close()
            await versions.close()
    finally:
        READERS.close()
