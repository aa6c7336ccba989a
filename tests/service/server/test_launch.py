import socket

import pytest

from service.contract.errors import SettingsError
from service.server.launch import serve
from service.settings import Settings


def test_a_port_in_use_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"CHIPVOTE_PORT={port}: cannot listen"):
            serve(settings.model_copy(update={"port": port}))


def test_a_host_that_does_not_exist_is_named(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"CHIPVOTE_HOST=nowhere\.invalid"):
        serve(settings.model_copy(update={"host": "nowhere.invalid"}))
