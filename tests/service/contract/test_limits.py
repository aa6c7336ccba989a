"""The limits themselves are tried in processes of their own: tests/service/test_main.py."""

import resource

import pytest

from service.contract.errors import SettingsError
from service.contract.limits import MOST_FILES, check_limits


def test_limits_that_suffice_are_left_but_for_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_NOFILE: (1024, 1 << 20), resource.RLIMIT_AS: (1 << 40, 1 << 40)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    check_limits()
    assert limits == {resource.RLIMIT_NOFILE: (MOST_FILES, 1 << 20), resource.RLIMIT_AS: (1 << 40, 1 << 40)}


def test_more_processors_need_more_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.contract.limits.processors", lambda: 1 << 30)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 40, 1 << 40))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with pytest.raises(SettingsError, match="1048576 MiB of addresses, and needs"):
        check_limits()
