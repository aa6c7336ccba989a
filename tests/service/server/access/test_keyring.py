import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from service.contract.errors import SettingsError
from service.server.access import keyring as module
from service.server.access.keyring import Keyring
from service.server.access.keys import Key, mint


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.0)


def found(keyring: Keyring, *tokens: str) -> list[str | None]:
    async def find() -> list[str | None]:
        keys = await asyncio.gather(*map(keyring.find, tokens))
        return [key.name if key else None for key in keys]

    return asyncio.run(find())


def test_tokens_are_known_by_the_file_as_it_is_now(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys.toml"
    (alice, a), (bob, b) = mint("alice", scopes=["predict"]), mint("bob", scopes=["admin"])
    path.write_text(a, encoding="utf-8")
    keyring = Keyring(path)
    keyring.load()
    assert found(keyring, alice, bob, "", alice[:-1], alice + "=") == ["alice", None, None, None, None]

    path.write_text(f"{a}\n{b}", encoding="utf-8")
    assert found(keyring, alice, bob) == ["alice", "bob"]

    with caplog.at_level(logging.ERROR, "chipvote"):
        path.write_text("nonsense", encoding="utf-8")
        assert found(keyring, alice, bob) == ["alice", "bob"]
        assert found(keyring, alice, bob) == ["alice", "bob"]
        path.unlink()
        assert found(keyring, alice, bob) == ["alice", "bob"]
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2, "one for each change"
    assert all("stay in force" in message for message in errors)

    path.write_text(b, encoding="utf-8")
    assert found(keyring, alice, bob) == [None, "bob"], "revoked"


def test_a_file_that_could_not_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.toml"
    (alice, a), (bob, b) = mint("alice", scopes=["predict"]), mint("bob", scopes=["admin"])
    path.write_text(a, encoding="utf-8")
    keyring = Keyring(path)
    keyring.load()
    path.write_text(b, encoding="utf-8")
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "chipvote"):
        patch.setattr(Path, "read_text", lambda *_, **__: os.open("/", os.O_WRONLY))  # as without rights
        for _ in range(3):
            assert found(keyring, alice, bob) == ["alice", None]
    assert len(caplog.records) == 1
    assert found(keyring, alice, bob) == [None, "bob"]


def test_a_start_with_a_broken_file_fails(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read as keys"):
        Keyring(tmp_path / "keys.toml").load()


def test_a_file_is_looked_at_once_in_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 1.0)
    path = tmp_path / "keys.toml"
    token, line = mint("alice", scopes=["predict"])
    path.write_text("", encoding="utf-8")
    keyring = Keyring(path)
    keyring.load()
    path.write_text(line, encoding="utf-8")
    os.utime(path, (1, 1))
    assert found(keyring, token) == [None]
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 1.1)
    assert found(keyring, token) == ["alice"]


def test_a_known_token_costs_no_scrypt_and_a_wrong_one_never_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, line = mint("alice", scopes=["predict"])
    (tmp_path / "keys.toml").write_text(line, encoding="utf-8")
    keyring = Keyring(tmp_path / "keys.toml")
    keyring.load()
    calls: list[str] = []
    scrypt = Key.proves

    def counted(key: Key, token: str) -> bool:
        calls.append(token)
        return scrypt(key, token)

    monkeypatch.setattr(Key, "proves", counted)
    wrong = [f"chipvote_{number}" for number in range(2000)]
    assert found(keyring, *[token] * 50, *wrong) == ["alice"] * 50 + [None] * 2000
    assert calls == [token]
