"""What is known of the model: its labels and its card."""

from typing import Any

from fastapi import APIRouter, Request

from service.answers.predictions import ModelCard, labels, model_card
from service.client.schemas import Labels
from service.contract.errors import NoSuchVersion, NotReady, ServiceError
from service.server.access.scopes import needs
from service.server.openapi import LABELS, MODEL_CARD, example
from service.server.parameters import Version
from service.server.state import running

router = APIRouter()


@router.get(
    "/labels",
    operation_id="labels",
    summary="The labels, in order",
    tags=["model"],
    responses=example(LABELS, NoSuchVersion, ServiceError, NotReady),
    openapi_extra=needs("predict"),
)
async def get_labels(request: Request, version: Version = None) -> Labels:
    """Each label's group, prevalence, thresholds, weights and quorum, and measured F2."""
    return labels(running(request).versions.of(version).bundle)


@router.get(
    "/model",
    operation_id="model",
    summary="The model card",
    tags=["model"],
    response_model=ModelCard,
    responses=example(MODEL_CARD, NoSuchVersion, ServiceError, NotReady),
    openapi_extra=needs("predict"),
)
async def get_model(request: Request, version: Version = None) -> dict[str, Any]:
    """The bundle's manifest, with the device and the precision it runs at."""
    served = running(request).versions.of(version)
    return model_card(served.bundle, served.ensemble)
