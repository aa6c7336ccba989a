import time
from datetime import date
from pathlib import Path

import pytest

from service.server.access.errors import TooManyRequests
from service.server.access.keys import Key, mint
from service.server.access.quotas import Quotas
from service.settings import Settings
from tests.kit.serving import serving

HASH = "$scrypt$ln=14,r=8,p=1$" + 22 * "A" + "$" + 43 * "A"


def key(name: str = "alice", rate: int | None = None, concurrent: int | None = None) -> Key:
    return Key(
        name=name,
        scopes=frozenset({"predict"}),
        index="0" * 8,
        hash=HASH,
        expires=date(2030, 1, 1),
        rate=rate,
        concurrent=concurrent,
    )


def test_a_window_begins_with_a_request_and_its_end_brings_the_quota_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    quotas, alice = Quotas(), key(rate=2)
    with quotas.hold(alice) as told:
        assert told == [(b"ratelimit-policy", b'"rate";q=2;w=60'), (b"ratelimit", b'"rate";r=1;t=60')]
    now_s += 20.5
    with quotas.hold(alice) as told:
        assert told[1] == (b"ratelimit", b'"rate";r=0;t=40')
    with pytest.raises(TooManyRequests, match="go on in 40 s") as refused, quotas.hold(alice):
        pass
    assert refused.value.retry_after_s == 40
    with quotas.hold(key("bob", rate=2)):
        pass
    now_s += refused.value.retry_after_s
    with quotas.hold(alice) as told:
        assert told[1] == (b"ratelimit", b'"rate";r=1;t=60')


def test_what_is_open_counts_until_it_ends_however_it_does() -> None:
    quotas, alice = Quotas(), key(rate=100, concurrent=2)
    with quotas.hold(alice), quotas.hold(alice) as told:
        assert b'"concurrent";r=0' in told[1][1] and b'"rate";r=98' in told[1][1]
        with pytest.raises(TooManyRequests, match="2 requests") as refused, quotas.hold(alice):
            pass
        # Whoever is to come again in a second is not told of a window that ends in a minute.
        assert quotas.headers(alice, refused.value.retry_after_s)[1] == (b"ratelimit", b'"concurrent";r=0')
    with pytest.raises(ZeroDivisionError), quotas.hold(alice):
        raise ZeroDivisionError
    with quotas.hold(alice), quotas.hold(alice):
        pass


def test_a_key_without_limits_hears_of_none() -> None:
    with Quotas().hold(key()) as told:
        assert told == []


def test_a_rate_counts_what_the_key_may_not_as_well(settings: Settings, tmp_path: Path) -> None:
    token, line = mint("curious", scopes=["predict"], rate=3)
    (tmp_path / "keys.toml").write_text(line, encoding="utf-8")
    with serving(settings.model_copy(update={"keys": tmp_path / "keys.toml"})) as client:
        answers = [client.post("/swap", headers={"x-api-key": token}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
    assert answers[0].headers["ratelimit"].startswith('"rate";r=2;t=')
