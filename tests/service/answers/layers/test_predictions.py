import pytest

from service.answers.layers.predictions import ToldRow, table
from service.answers.predictions import failure, prediction
from service.client.schemas import Geometry, Model, Window
from service.contract.bundle import Bundle
from service.contract.errors import CorruptChip
from service.engine.verdict import Verdict

MODEL = Model(name="colours", version="1.2.3")
SQUARE: Geometry = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}


def _told(bundle: Bundle) -> ToldRow:
    said = Verdict([0.9, 0.2, 0.1, 0.8], [3, 1, 0, 2], [True, False, False, True], 3, [[0.8, 1.0]] * 4)
    answer = prediction("a.tif", said, bundle, members=True)
    return {"filename": "a.tif", "footprint": SQUARE, "scores": answer["scores"], "members": 3}


def test_what_a_page_shows_has_the_columns_of_a_map(colours: Bundle) -> None:
    window: Window = {"column": 64, "row": 0, "width": 64, "height": 32}
    failed: ToldRow = {"filename": "b.tif", "error": failure("b.tif", CorruptChip("is cut short"))["error"]}
    first, second, third = table(
        MODEL, [_told(colours), {**_told(colours), "window": window}, failed]
    ).to_pylist()
    assert (first["scene"], first["labels"], first["votes_dark"]) == ("a.tif", "reddish dark", 2)
    assert first["disagreement"] == pytest.approx(0.2)
    assert (first["bbox"]["xmax"], first["column"], second["column"], second["height"]) == (1, None, 64, 32)
    assert (third["error"], third["labels"], third["dark"]) == ("is cut short", None, None)


def test_failures_alone_have_no_labels() -> None:
    assert table(MODEL, [{"filename": None}]).to_pylist()[0]["scene"] == ""
