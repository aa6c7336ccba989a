"""Settings → a FastAPI app: start-up and shutdown, and how the parts are wired.

`create_app` does no work by itself; the app's lifespan does. It loads the bundle, opens the
ensemble in the engine's thread and reproduces the golden answers, and any failure in that
is a `StartupError`: the app never runs half.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service import api, bundle, page, problems
from service.bands import check_bands
from service.batching import Engine
from service.budget import Budget
from service.bundle import Bundle
from service.cuda import device_memory
from service.decoding import Decoders
from service.drain import Drain
from service.errors import BundleError, ServiceError
from service.ladder import open_ensemble
from service.metrics import Metrics
from service.middleware import CountRequests, HeadAsGet, RelativeRedirects
from service.previews import Previews
from service.settings import Settings

_DESCRIPTION = """Satellite chips in, land-use label sets out: an ensemble votes on every label.

Every error is an RFC 9457 problem (`application/problem+json`) whose `detail` says what is accepted."""


def create_app(settings: Settings) -> FastAPI:
    """Build one service. Apps share nothing, so a process may hold several."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
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
        static_url=f"/{page.DOCS_FILES}",
    )
    app.state.running = None
    app.state.metrics = metrics
    app.include_router(api.router)
    app.include_router(page.router)
    # From the inside out: a request passes the last one first.
    app.add_middleware(RelativeRedirects)
    app.add_middleware(_Shortcut)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Drain)
    problems.install(app)
    return app


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle that this version can serve.

    Raises:
        BundleError: a file is missing, altered or inconsistent, or no decoder makes its bands.
    """
    loaded = bundle.load(folder)
    try:
        check_bands(loaded.manifest.input)
    except ValueError as error:
        raise BundleError(
            f"{folder / bundle.MANIFEST}: input.bands: {error}; export such a bundle"
        ) from error
    return loaded


@asynccontextmanager
async def _run(settings: Settings, metrics: Metrics) -> AsyncIterator[api.Running]:
    loaded = load_bundle(settings.bundle)
    engine = Engine(
        lambda: open_ensemble(loaded, settings),
        max_batch=settings.max_batch,
        queue_size=settings.queue_size,
        metrics=metrics,
    )
    ensemble = await engine.start()
    name, version = loaded.manifest.name, loaded.manifest.version
    metrics.bundle.info(
        {"name": name, "version": version, "device": ensemble.device, "precision": ensemble.precision}
    )
    # There from the start, or a rate would miss the first ones.
    predicted = [metrics.predicted.labels(label) for label in loaded.label_names]
    for label in loaded.manifest.labels:
        metrics.prevalence.labels(label.name).set(label.prevalence)
    if ensemble.device == "cuda":
        # Not before: while launches are recorded, no other thread should ask CUDA for anything.
        metrics.device_memory.set_function(device_memory)
    decoders = Decoders(engine, loaded.manifest.input, settings.decode_threads)
    previews = Previews(loaded.manifest.input)
    budget = Budget(settings.max_inflight_bytes)
    metrics.body_bytes.set_function(lambda: budget.taken_bytes)
    metrics.most_body_bytes.set(settings.max_inflight_bytes)
    try:
        yield api.Running(settings, loaded, ensemble, engine, decoders, previews, budget, metrics, predicted)
    finally:
        await engine.stop()
        decoders.close()
        previews.close()


class _Shortcut:
    """Hands the hot route to its function, as the framework would after several times its work.

    Routing, dependency injection and exit stacks cost the event loop more than everything that
    a prediction needs of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        routes = [route for route in api.router.routes if isinstance(route, APIRoute)]
        (self._route,) = (route for route in routes if route.endpoint is api.predict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._route.path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        request = Request(scope, receive, send)
        try:
            response = await api.predict(request)
        except (ServiceError, ClientDisconnect, MemoryError) as error:
            response = problems.response(error)
        await response(scope, receive, send)
