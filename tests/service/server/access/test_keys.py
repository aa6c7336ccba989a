import re
from datetime import date
from pathlib import Path

import pytest

from service.cli import main
from service.contract.errors import SettingsError
from service.server.access.keys import mint, read_keys


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_minted_line_is_read_again_and_proves_its_own_token_only(tmp_path: Path) -> None:
    token, line = mint(
        "alice", scopes=["predict", "metrics"], expires=date(2030, 1, 31), rate=60, concurrent=4
    )
    other, _ = mint("bob", scopes=["admin"])
    assert re.fullmatch(r"chipvote_[A-Za-z0-9_-]{43}", token)
    assert token not in line and token[9:] not in line
    (key,) = read_keys(written(tmp_path / "keys.toml", "# comment", line)).values()
    assert (key.name, sorted(key.scopes)) == ("alice", ["metrics", "predict"])
    assert (key.expires, key.rate, key.concurrent) == (date(2030, 1, 31), 60, 4)
    assert key.proves(token)
    assert not key.proves(other) and not key.proves("") and not key.proves(token.upper())


def test_no_two_tokens_or_lines_are_the_same() -> None:
    minted = [mint("alice", scopes=["predict"]) for _ in range(3)]
    assert len({part for pair in minted for part in pair}) == 6


@pytest.mark.parametrize(
    ("name", "allowed", "says"),
    [
        ("", {"scopes": ["predict"]}, "name"),
        ("al ice", {"scopes": ["predict"]}, "name"),
        ('a"\nb', {"scopes": ["predict"]}, "name"),
        ("alice\n", {"scopes": ["predict"]}, "name"),
        ("alice", {"scopes": ["everything"]}, "'predict', 'metrics' or 'admin'"),
        ("alice", {"scopes": []}, "scopes"),
        ("alice", {"scopes": ["predict"], "rate": 0}, "rate"),
    ],
)
def test_a_key_that_cannot_be_is_named(name: str, allowed: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        mint(name, **allowed)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda line: line[:-10], "cannot be read as keys"),
        (lambda line: line + "\n" + line, "cannot be read as keys"),  # a name that is there twice
        (lambda line: line + "\n" + line.replace("alice", "bob"), "alice and bob have one token"),
        (lambda line: line.replace("predict", "everything"), "alice: scopes"),
        (lambda line: line.replace("ln=14", "ln=1"), "alice: hash"),
        (lambda line: line.replace("scopes", "scope"), "alice: scope"),
        (lambda line: 'alice = "chipvote_token"', "alice: "),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_no_secret(tmp_path: Path, spoil: object, says: str) -> None:
    assert callable(spoil)
    _, line = mint("alice", scopes=["predict"])
    path = written(tmp_path / "keys.toml", spoil(line))
    with pytest.raises(SettingsError, match=says) as caught:
        read_keys(path)
    assert str(caught.value).startswith(str(path))
    assert "scrypt$" not in str(caught.value) and "chipvote_token" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"keys\.toml: cannot be read as keys \(No such file"):
        read_keys(tmp_path / "keys.toml")


def test_the_command_prints_a_line_for_the_file_and_its_token_beside(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as done:
        main(["key", "alice", "--scope", "predict", "--scope", "metrics", "--expires", "2030-01-31"])
    assert not done.value.code
    said = capsys.readouterr()
    (key,) = read_keys(written(tmp_path / "keys.toml", said.out)).values()
    assert (key.name, str(key.expires), sorted(key.scopes)) == ("alice", "2030-01-31", ["metrics", "predict"])
    assert key.proves(said.err.split()[-1])
    with pytest.raises(SystemExit) as done:
        main(["key", "a b"])
    assert done.value.code == 1
    assert capsys.readouterr().err.startswith("chipvote: the key name: ")
