"""Settings → a FastAPI app: start-up and shutdown, and how the parts are wired.

`create_app` does no work by itself; the app's lifespan does. It has the bundle opened and proven,
and any failure in that is a `StartupError`: the app never runs half.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.contract.chips.readers.pool import READERS
from service.engine.served import serving
from service.metrics import Metrics
from service.server import openapi, page, problems, routes
from service.server.access.guard import Guard
from service.server.access.keyring import Keyring
from service.server.access.scopes import needed
from service.server.body_budget import Budget
from service.server.drain import Drain
from service.server.edge.origins import Origins
from service.server.fast_path import FastPath
from service.server.logs.addresses import networks
from service.server.logs.requests import Requests
from service.server.middleware import HeadAsGet, RelativeRedirects
from service.server.previews import Previews
from service.server.state import Running
from service.settings import Settings

_DESCRIPTION = """Satellite chips in, land-use label sets out: an ensemble votes on every label.

Every error is an RFC 9457 problem (`application/problem+json`) whose `detail` says what is accepted."""


def create_app(settings: Settings) -> FastAPI:
    """Build one service. Apps share nothing, so a process may hold several."""
    metrics = Metrics()
    keyring = Keyring(settings.keys) if settings.keys else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if keyring:
            keyring.load()
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
        # Else it would look for what could listen, in the environment, at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.running = None
    app.state.metrics = metrics
    app.include_router(routes.router)
    app.include_router(page.router)
    # From the inside out: a request passes the last one first.
    app.add_middleware(RelativeRedirects)
    app.add_middleware(FastPath)
    if keyring:
        app.add_middleware(
            Guard,
            keyring=keyring,
            needed={**page.OPEN, **needed(routes.router.routes)},
            files=page.FILES,
        )
    app.add_middleware(Origins, allowed=settings.origins)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Drain)
    app.add_middleware(
        Requests,
        metrics=metrics,
        tell=settings.access_log,
        trusted=networks(settings.trusted_proxies),
    )
    problems.install(app)
    openapi.tell_keys(app, asked=keyring is not None)
    return app


@asynccontextmanager
async def _run(settings: Settings, metrics: Metrics) -> AsyncIterator[Running]:
    budget = Budget(settings.max_inflight_bytes)
    metrics.body_bytes.set_function(lambda: budget.taken_bytes)
    metrics.most_body_bytes.set(settings.max_inflight_bytes)
    try:
        async with serving(settings, metrics) as served:
            previews = Previews(served.bundle.manifest.input)
            try:
                yield Running(settings, served, previews, budget, metrics)
            finally:
                previews.close()
    finally:
        READERS.close()
