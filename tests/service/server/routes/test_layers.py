"""What a page shows, saved for a GIS; read again by GDAL."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.contract.chips.georeference import corners
from tests.kit.fakes import LABELS
from tests.kit.ground import ground, write_geotiff
from tests.service.server.test_problems import assert_problem

pyogrio = pytest.importorskip("pyogrio")
shapely = pytest.importorskip("shapely")


def test_predictions_become_rows_where_they_lie(client: httpx2.Client, tmp_path: Path) -> None:
    files = [write_geotiff(tmp_path / f"{at}.tif", ground(at), 64 * at, 0) for at in range(3)]
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0")
    form = [("chip", (file.name, file.read_bytes())) for file in (*files, bad)]
    answer = client.post("/predict?footprint=true&members=true", files=form).json()
    response = client.post("/layer", json={"model": answer["model"], "rows": answer["predictions"]})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/geopackage+sqlite3"
    assert "labels.gpkg" in response.headers["content-disposition"]
    saved = tmp_path / "labels.gpkg"
    saved.write_bytes(response.content)
    meta, _, geometries, columns = pyogrio.raw.read(saved, layer="chipvote")
    table: dict[str, Any] = dict(zip(meta["fields"], columns, strict=True))
    assert meta["crs"] == "EPSG:4326"
    assert list(table["scene"]) == ["0.tif", "1.tif", "2.tif", "bad.tif"]
    for at, (file, told) in enumerate(zip(files, answer["predictions"], strict=False)):
        assert table["labels"][at] == " ".join(told["labels"])
        found = [table[f"p_{label}"][at] for label in LABELS]
        assert found == pytest.approx([score["probability"] for score in told["scores"]], rel=1e-6)
        ring = corners(file.read_bytes())
        assert ring is not None
        assert shapely.from_wkb(geometries[at]).bounds == pytest.approx(
            shapely.Polygon(ring).bounds, abs=1e-6
        )
    assert table["error"][3] == answer["predictions"][3]["error"]["detail"]


@pytest.mark.parametrize(
    ("headers", "content", "status", "said"),
    [
        ({"content-type": "text/plain"}, b"{}", 415, "application/json"),
        ({"content-type": "application/json"}, b"{}", 422, "model"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, b"{}", 415, "gzip"),
        ({"content-type": "application/json", "content-length": str(33 << 20)}, b"", 413, "20000 rows"),
    ],
)
def test_what_is_no_layer_is_one_problem(
    client: httpx2.Client, headers: dict[str, str], content: bytes, status: int, said: str
) -> None:
    if status == 413:
        content = bytes(33 << 20)
    response = client.post("/layer", content=content, headers=headers)
    assert said in assert_problem(response, status)["detail"]


def test_a_row_s_text_is_text_whatever_it_says(client: httpx2.Client, tmp_path: Path) -> None:
    label = 'it\'s "so"; DROP TABLE chipvote'
    score = {"label": label, "probability": 0.5, "votes": 1, "predicted": True}
    rows = [{"filename": "</qgis>'\"", "scores": [score]}]
    body = json.dumps({"model": {"name": "<m>", "version": "1"}, "rows": rows})
    response = client.post("/layer", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    saved = tmp_path / "labels.gpkg"
    saved.write_bytes(response.content)
    meta, *_ = pyogrio.raw.read(saved, layer="chipvote")
    assert label in meta["fields"]
