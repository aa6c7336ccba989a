"""Scenes by the client: of a real server, and of one that says what a test tells it to."""

import json
from itertools import chain
from pathlib import Path

import httpx2
import pytest

from service.client import ChipvoteError, Client
from tests.kit.fakes import MEMBERS
from tests.service.client.test_transport import BUSY, Reply, saying

START = '{"model": {}, "scene": {"windows": 2}}'
ROW = '{"window": {"column": 0}, "labels": ["a"]}'
DONE = '{"done": {"windows": 2}}'
CUT = '{"error": {"type": "about:blank", "title": "Not ready", "status": 503, "detail": "stopped"}}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0")
    return path


def lines(*text: str) -> Reply:
    return Reply(200, "\n".join(text) + "\n", {"content-type": "application/x-ndjson"})


def test_windows_come_as_the_service_tells_them(client: httpx2.Client, tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    from tests.kit.scenes import patchwork, write_scene

    pixels_HWC, names = patchwork(2, 3)
    path = write_scene(tmp_path / "a.tif", pixels_HWC, photometric="RGB")
    rows = list(Client(str(client.base_url)).predict_scene(path, members=True, version="1.2.3"))
    assert sorted(row["labels"][0] for row in rows if "labels" in row) == sorted(chain(*names))
    assert all(len(row["scores"][0]["members"]) == MEMBERS for row in rows if "scores" in row)
    assert len(list(Client(str(client.base_url)).predict_scene(path, stride=0.5))) == 15
    with pytest.raises(ChipvoteError, match="stride"):
        next(Client(str(client.base_url)).predict_scene(path, stride=2))


def test_a_busy_service_is_asked_again_before_the_first_line(file: Path) -> None:
    with saying(Reply(503, BUSY, {"Retry-After": "0"}), lines(START, ROW, ROW, DONE)) as said:
        assert len(list(Client(said.url).predict_scene(file))) == 2
    assert len(said.heard) == 2


@pytest.mark.parametrize(
    ("last", "match"),
    [([CUT], "Not ready: stopped"), ([], "was cut before the scene's last window"), (["no"], "no JSON")],
)
def test_and_never_after_it(file: Path, last: list[str], match: str) -> None:
    with saying(lines(START, ROW, *last)) as said:
        rows = Client(said.url).predict_scene(file)
        assert "labels" in next(rows)
        with pytest.raises(ChipvoteError, match=match):
            next(rows)
    assert len(said.heard) == 1


def test_what_the_service_refuses_is_said(file: Path) -> None:
    told = {"type": "about:blank", "title": "Not installed", "status": 501, "detail": "pip install"}
    with saying(Reply(501, json.dumps(told))) as said, pytest.raises(ChipvoteError, match="pip install"):
        next(Client(said.url).predict_scene(file))


def test_another_answer_is_none_of_a_scene(file: Path) -> None:
    with saying(lines("{}")) as said, pytest.raises(ChipvoteError, match="none of a scene"):
        next(Client(said.url).predict_scene(file))


def test_a_file_that_is_not_there_is_the_caller_s(tmp_path: Path) -> None:
    with saying(lines(START)) as said, pytest.raises(FileNotFoundError):
        next(Client(said.url).predict_scene(tmp_path / "missing.tif"))
