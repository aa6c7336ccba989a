"""An app → how uvicorn serves it at the edge.

The one place that says which of uvicorn's own ways are on: no other protocol, no word about the
server, and connections as `protocol` bounds them.
"""

import functools
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from service.metrics import Metrics
from service.server.edge.connections import Connections
from service.server.edge.limits import Limits
from service.server.edge.protocol import EdgeProtocol


def configuration(app: FastAPI, limits: Limits, **options: Any) -> uvicorn.Config:  # noqa: ANN401
    """Return uvicorn's configuration; more options are uvicorn's own."""
    connections = Connections(limits.connections, limits.connections_per_address)
    metrics: Metrics = app.state.metrics

    def count(status: int) -> None:
        metrics.requests.labels("unknown", status).inc()

    protocol = functools.partial(EdgeProtocol, limits, connections, count)
    return uvicorn.Config(
        app,
        http=cast(type[EdgeProtocol], protocol),  # uvicorn calls it, once for each connection
        ws="none",  # nothing here speaks it: who asks for it is answered as any other request
        timeout_keep_alive=cast(int, limits.idle_s),  # it goes to `call_later`
        server_header=False,
        **options,
    )
