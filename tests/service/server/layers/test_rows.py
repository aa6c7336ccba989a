import json
from typing import Any

import pytest

from service.server.layers.errors import InvalidRows
from service.server.layers.rows import read_layer

SCORE = {"label": "water", "probability": 0.9, "votes": 3, "predicted": True}
RING = [[0, 0], [1, 0], [1, 1], [0, 0]]
ROW = {"filename": "a.tif", "footprint": {"type": "Polygon", "coordinates": [RING]}, "scores": [SCORE]}
MODEL = {"name": "m", "version": "1"}


def body(**changes: Any) -> bytes:  # noqa: ANN401
    return json.dumps({"model": MODEL, "rows": [{**ROW, **changes}]}).encode()


def test_what_the_service_answers_is_taken_and_more_is_left_out() -> None:
    more = {"labels": ["water"], "members": 3, "warnings": ["squeezed"], "nodata_share": 0.5}
    (row,) = read_layer(body(**more)).told()
    assert row["footprint"]["coordinates"][0][1] == (1.0, 0.0)
    assert row["members"] == 3 and row["nodata_share"] == 0.5
    assert "warnings" not in row


def test_a_failure_and_a_chip_of_nowhere_are_rows_too() -> None:
    error = {"type": "about:blank", "title": "t", "status": 422, "detail": "d"}
    (row,) = read_layer(body(scores=None, footprint=None, filename=None, error=error)).told()
    assert row == {"filename": None, "members": 0, "error": error}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"footprint": {"type": "Point", "coordinates": [0, 0]}}, "footprint"),
        ({"footprint": {"type": "Polygon", "coordinates": [[[0, 0]]]}}, "footprint"),
        ({"footprint": {"type": "Polygon", "coordinates": [[[0, 91], *RING]]}}, "footprint"),
        ({"footprint": {"type": "Polygon", "coordinates": []}}, "footprint"),
        ({"scores": [{**SCORE, "label": "a\u0000b"}]}, "label"),
        ({"scores": [{**SCORE, "label": ""}]}, "label"),
        ({"scores": [{**SCORE, "votes": -1}]}, "votes"),
        ({"scores": [{**SCORE, "probability": 1e300}]}, "probability"),
        ({"scores": [{**SCORE, "members": []}]}, "members"),
        ({"scores": [SCORE] * 601}, "scores"),
        ({"window": {"column": 0, "row": 0, "width": 0, "height": 1}}, "width"),
        ({"window": {"column": 1 << 40, "row": 0, "width": 1, "height": 1}}, "column"),
        ({"filename": "a" * 5000}, "filename"),
        ({"members": True}, "members"),
        ({"error": {"type": "", "title": "", "status": False, "detail": ""}}, "status"),
    ],
)
def test_what_no_layer_can_hold_is_named(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidRows, match=where):
        read_layer(body(**changes))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"rows": []}', b'{"rows": [1]}', b"\xff"])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRows, match="/docs"):
        read_layer(data)


def test_no_number_is_infinite() -> None:
    with pytest.raises(InvalidRows, match="probability"):
        read_layer(body().replace(b"0.9", b"1e999"))


def test_rows_are_bounded() -> None:
    rows = [{"filename": None}] * 20_001
    with pytest.raises(InvalidRows, match="20000"):
        read_layer(json.dumps({"model": MODEL, "rows": rows}).encode())
