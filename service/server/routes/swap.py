"""Another bundle in the place of the one that answers, and one that is tried unseen."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.client.schemas import Shadow, Swap
from service.contract.errors import InvalidParameter, NotReady, ServiceError, SwapRefused
from service.engine.swap.swapper import MOST_DIFFERENT
from service.server.access.scopes import needs
from service.server.openapi import SHADOW, SWAP, example
from service.server.state import running

router = APIRouter(tags=["swap"])

_BEGUN = example(SWAP, InvalidParameter, SwapRefused, ServiceError, NotReady, status=202)


class _Wanted(BaseModel):
    """Which bundle; whoever asks for what there is not must hear so, and not get half of it."""

    model_config = ConfigDict(extra="forbid")

    bundle: str = Field(
        min_length=1,
        max_length=255,
        description="name of a folder below CHIPVOTE_BUNDLES, or name or version of the bundle before",
    )
    most_different: float = Field(
        MOST_DIFFERENT, ge=0, le=1, description="share of the decisions on the last chips that may differ"
    )


class _Tried(_Wanted):
    share: float = Field(0.1, ge=0, le=1, description="of the chips that it answers too")


@router.get(
    "/swap",
    operation_id="get_swap",
    summary="What is loaded",
    responses=example(SWAP, ServiceError, NotReady),
    openapi_extra=needs("admin"),
)
async def get_swap(request: Request) -> Swap:
    """Tell what is loaded, what could be, and how far the last swap got."""
    return running(request).swapper.told()


@router.post(
    "/swap",
    operation_id="swap",
    summary="Let another bundle answer",
    status_code=202,
    responses=_BEGUN,
    openapi_extra=needs("admin"),
)
async def swap(request: Request, wanted: Annotated[_Wanted, Query()]) -> Swap:
    """Begin to bring a bundle in; `GET /swap` tells how it goes. What answers goes on until then.

    It is loaded beside the one that answers, and must reproduce its golden answers and answer the
    last chips much as that one did. The bundle before stays loaded: its name swaps back at once.
    """
    swapper = running(request).swapper
    swapper.begin(wanted.bundle, most_different=wanted.most_different)
    return swapper.told()


@router.get(
    "/shadow",
    operation_id="get_shadow",
    summary="How a candidate differs",
    responses=example(SHADOW, ServiceError, NotReady),
    openapi_extra=needs("metrics"),
)
async def get_shadow(request: Request) -> Shadow:
    """Tell how a bundle that is tried unseen answers, beside the one that is heard."""
    versions = running(request).versions
    if versions.shadow:
        return versions.shadow.told()
    return Shadow(
        serving=versions.current.version, candidate=None,
        share=0, failed=0, skipped=0, chips=0, different=0, labels=[],
    )  # fmt: skip


@router.post(
    "/shadow",
    operation_id="shadow",
    summary="Try a bundle unseen",
    status_code=202,
    responses=_BEGUN,
    openapi_extra=needs("admin"),
)
async def shadow(request: Request, wanted: Annotated[_Tried, Query()]) -> Swap:
    """Begin to bring a bundle in that answers a share of the chips unseen; see `POST /swap`."""
    swapper = running(request).swapper
    swapper.begin(wanted.bundle, most_different=wanted.most_different, share=wanted.share)
    return swapper.told()


@router.delete(
    "/shadow",
    operation_id="end_shadow",
    summary="End the trial",
    status_code=202,
    responses=_BEGUN,
    openapi_extra=needs("admin"),
)
async def end_shadow(request: Request) -> Swap:
    """Drop the bundle that is tried unseen."""
    swapper = running(request).swapper
    swapper.end_shadow()
    return swapper.told()
