from types import SimpleNamespace

import pytest
from starlette.requests import Request

from service.contract.errors import NotReady
from service.server.state import running


def test_what_has_not_started_is_not_ready() -> None:
    app = SimpleNamespace(state=SimpleNamespace(running=None))
    request = Request({"type": "http", "app": app})
    with pytest.raises(NotReady, match="send the request again in a moment"):
        running(request)
    app.state.running = started = object()
    assert running(request) is started
