"""For those who keep the service running: health and metrics."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from service.client.schemas import Health
from service.contract.errors import NotReady
from service.metrics import CONTENT_TYPE, Metrics
from service.server.access.scopes import anybody, needs
from service.server.openapi import LIVE, READY, example
from service.server.state import running

router = APIRouter()


@router.get(
    "/health/live",
    operation_id="live",
    summary="Is the process there?",
    tags=["operation"],
    responses=example(LIVE),
    openapi_extra=anybody(),
)
async def get_live() -> Health:
    """Answer as long as the event loop turns."""
    return Health(status="live")


@router.get(
    "/health/ready",
    operation_id="ready",
    summary="Can it predict?",
    tags=["operation"],
    responses=example(READY, NotReady),
    openapi_extra=anybody(),
)
async def get_ready(request: Request) -> Health:
    """Ready once the golden decisions have been reproduced, until shutting down begins."""
    if not running(request).versions.current.admission.ready:
        raise NotReady("the service is shutting down")
    return Health(status="ready")


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics",
    tags=["operation"],
    response_class=PlainTextResponse,
    openapi_extra=needs("metrics"),
)
async def get_metrics(request: Request) -> Response:
    """Every counter and histogram, in Prometheus' text format."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.exposition(), media_type=CONTENT_TYPE)
