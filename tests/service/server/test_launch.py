import re
import socket
from pathlib import Path

import pytest

from service.contract.errors import BundleError, SettingsError
from service.server.launch import serve
from service.settings import Settings


def test_a_port_in_use_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"CHIPVOTE_PORT={port}: cannot listen"):
            serve(settings.model_copy(update={"port": port}))


def test_a_host_that_does_not_exist_is_named(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"CHIPVOTE_HOST=nowhere\.invalid"):
        serve(settings.model_copy(update={"host": "nowhere.invalid", "open": True}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "chips.example"])
def test_where_others_can_ask_it_listens_only_with_keys_or_when_told(settings: Settings, host: str) -> None:
    settings = settings.model_copy(update={"host": host, "port": 0, "bundle": Path("nowhere")})
    with pytest.raises(SettingsError, match=rf"CHIPVOTE_HOST={re.escape(host)}: .*CHIPVOTE_KEYS.*--open"):
        serve(settings)
    # It goes on to listen, which not every machine can at every address, and to the rest.
    with pytest.raises((BundleError, SettingsError), match=r"bundle\.json|cannot listen"):
        serve(settings.model_copy(update={"open": True}))
    with pytest.raises(SettingsError, match=r"cannot be read as keys|cannot listen"):
        serve(settings.model_copy(update={"keys": Path("nowhere")}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_the_loopback_no_key_is_needed(settings: Settings, host: str) -> None:
    with pytest.raises((BundleError, SettingsError), match=r"bundle\.json|cannot listen"):
        serve(settings.model_copy(update={"host": host, "port": 0, "bundle": Path("nowhere")}))
