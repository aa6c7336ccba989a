import asyncio
import json
import sys
import threading
from typing import Any

import pytest

from service.contract.errors import Overloaded
from service.server.layers import writing
from service.server.layers.errors import InvalidRows, NoRoom
from service.server.layers.writing import MOST, Layers
from service.server.scenes.errors import MissingExtra

SCORE = {"label": "water", "probability": 0.9, "votes": 3, "predicted": True}


def body(*labels: str) -> bytes:
    rows = [{"filename": "a.tif", "scores": [{**SCORE, "label": label}]} for label in labels]
    return json.dumps({"model": {"name": "m", "version": "1"}, "rows": rows}).encode()


def written(data: bytes) -> bytes:
    layers = Layers()
    try:
        return asyncio.run(layers.geopackage(data))
    finally:
        layers.close()


def test_rows_become_a_geopackage() -> None:
    pytest.importorskip("pyogrio")
    assert written(body("water", "water")).startswith(b"SQLite format 3\0")


def test_rows_of_two_bundles_are_refused() -> None:
    pytest.importorskip("pyogrio")
    with pytest.raises(InvalidRows, match="row 2 has other labels"):
        written(body("water", "trees"))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "service.answers.layers.geopackage", None)
    with pytest.raises(MissingExtra, match=r"chipvote\[scenes\]"):
        written(body("water"))


def test_where_nothing_can_be_written_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyogrio")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(NoRoom, match="TMPDIR"):
        written(body("water"))


def test_only_a_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(writing, "_written", lambda data: gate.wait(60) and data)

    async def scenario() -> None:
        layers = Layers()
        asked = [asyncio.create_task(layers.geopackage(b"x")) for _ in range(MOST)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            layers.check()
        with pytest.raises(Overloaded):
            await layers.geopackage(b"y")
        gate.set()
        results: list[Any] = await asyncio.gather(*asked)
        assert results == [b"x"] * MOST
        layers.check()
        layers.close()

    asyncio.run(asyncio.wait_for(scenario(), 120))
