"""What a started process holds, and how a request gets at it.

Knows the process's parts; no route and no way to start them.
"""

from dataclasses import dataclass

from fastapi import Request

from service.contract.errors import NotReady
from service.engine.swap.swapper import Swapper
from service.engine.swap.versions import Versions
from service.metrics import Metrics
from service.server.body_budget import Budget
from service.server.layers.writing import Layers
from service.server.previews import Previews
from service.server.scenes.places import Places
from service.settings import Settings


@dataclass(frozen=True)
class Running:
    """The parts of a started process."""

    settings: Settings
    versions: Versions  # which bundle answers
    swapper: Swapper
    previews: Previews
    layers: Layers
    scenes: Places  # how many are under way
    budget: Budget  # of the bytes of all bodies
    metrics: Metrics


def running(request: Request) -> Running:
    """Return the started service.

    Raises:
        NotReady: it has not started.
    """
    started: Running | None = request.app.state.running
    if started is None:
        raise NotReady("the service is starting; send the request again in a moment")
    return started
