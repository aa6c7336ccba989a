"""The script for QGIS: what it says to a service and makes of the answer, and the whole in QGIS."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tifffile

from tests.kit import qgis
from tests.kit.serving import ROOT, standing_in

SCRIPT = ROOT / "deploy/qgis/chipvote_label_raster.py"
LABELS = ["built", "water"]
WEST, NORTH, SIDE = 32.55, 0.3, 0.001


def square(index: int) -> list[list[float]]:
    west = WEST + SIDE * index
    corners = [(west, NORTH), (west + SIDE, NORTH), (west + SIDE, NORTH - SIDE), (west, NORTH - SIDE)]
    return [list(corner) for corner in (*corners, corners[0])]


def window(index: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    place = {"column": 8 * index, "row": 0, "width": 8, "height": 8}
    return {"window": place, "footprint": {"type": "Polygon", "coordinates": [square(index)]}, **more}


def labelled(index: int, labels: Sequence[str], *probabilities: float) -> dict[str, Any]:
    scores = [
        {
            "label": label,
            "probability": probability,
            "votes": 3 * (label in labels),
            "predicted": label in labels,
        }
        for label, probability in zip(LABELS, probabilities, strict=True)
    ]
    return window(index, labels=list(labels), scores=scores, members=3)


HEAD = {
    "model": {"name": "x", "version": "1"},
    "scene": {"windows": 4, "footprint": {"type": "Polygon", "coordinates": [square(0)]}},
}
TWO = {"type": "MultiPolygon", "coordinates": [[square(2)], [square(3)]]}
ANSWER = [
    HEAD,
    labelled(0, ["built"], 0.9, 0.1),
    window(1, error={"detail": "all its pixels are damaged"}),
    window(2, skipped="nodata"),
    {**labelled(3, [], 0.05, 0.15), "footprint": TWO},
    {"done": {"windows": 4, "labelled": 2, "skipped": 1, "failed": 1}},
]


@contextmanager
def service(lines: Sequence[Any], asked: list[Any], status: int = 200) -> Iterator[str]:
    """A service that answers every scene with these lines, and notes what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, [{"labels": [{"name": label} for label in LABELS]}])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Authorization"], body))
            self._send(status, lines)

        def _send(self, status: int, lines: Sequence[Any]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401
            """Say nothing."""

    with standing_in(Handler) as address:
        yield address


@pytest.fixture(scope="module")
def script() -> Any:  # noqa: ANN401
    return qgis.load(SCRIPT)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    tie = (33922, "d", 6, (0.0, 0.0, 0.0, WEST, NORTH, 0.0), False)
    scale = (33550, "d", 3, (SIDE / 8, SIDE / 8, 0.0), False)
    keys = (34735, "H", 12, (1, 1, 0, 2, 1024, 0, 1, 2, 2048, 0, 1, 4326), False)
    pixels_HWC = np.full((8, 32, 3), 128, np.uint8)
    tifffile.imwrite(path, pixels_HWC, photometric="rgb", extratags=[tie, scale, keys])
    return path


def test_windows_come_with_their_values_one_after_the_other(script: Any, scene: Path) -> None:  # noqa: ANN401
    asked: list[Any] = []
    with service(ANSWER, asked) as url:
        known = script.Service(f"{url}/", "secret")
        assert known.labels() == LABELS
        lines = known.scene(str(scene), stride=0.5)
        assert script.scene_of(lines)["windows"] == 4
        found = list(script.windows(lines))
    assert asked == [("/predict/scene?stride=0.5", "Bearer secret", scene.read_bytes())]
    assert [number for number, _ in found] == [1, 2, 3, 4]
    first, failed, _, last = (one for _, one in found)
    assert script.values_of(first, LABELS) == [0, 0, 8, 8, "built", 0.9, 0.1, 3, 0, None]
    assert script.values_of(failed, LABELS)[4:] == [None] * 5 + ["all its pixels are damaged"]
    assert script.values_of(last, LABELS)[4:7] == ["", 0.05, 0.15]
    assert script.polygons_of(first["footprint"]) == [[square(0)]]
    assert script.polygons_of(last["footprint"]) == [[square(2)], [square(3)]]


def test_a_real_services_answer_is_understood(script: Any, client: httpx2.Client, tmp_path: Path) -> None:  # noqa: ANN401
    pytest.importorskip("rasterio")
    from tests.kit.scenes import patchwork, write_scene

    pixels_HWC, names = patchwork(2, 3)
    scene = write_scene(tmp_path / "scene.tif", pixels_HWC, photometric="RGB")
    known = script.Service(str(client.base_url), None)
    lines = known.scene(str(scene), stride=1, resolution=0.5)
    assert script.scene_of(lines)["windows"] == 6
    values = [script.values_of(window, known.labels()) for _, window in script.windows(lines)]
    assert [row[4] for row in values] == [name for row in names for name in row]


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        (ANSWER[:-1], 200, "the answer was cut short; try again"),
        ([*ANSWER[:2], {"error": {"detail": "it shuts down"}}], 200, "ended early: it shuts down"),
        ([{"detail": "a scene has at most 160 MiB"}], 413, "answers 413: a scene has at most 160 MiB"),
        (["no problem"], 502, "answers 502: Bad Gateway"),
        ([], 200, "no scene's"),
        ([{**HEAD, "scene": {"windows": 1, "footprint": None}}], 200, "does not tell where on the ground"),
    ],
)
def test_what_goes_wrong_is_said(
    script: Any,  # noqa: ANN401
    scene: Path,
    lines: Sequence[Any],
    status: int,
    said: str,
) -> None:
    with (
        service(lines, [], status) as url,
        pytest.raises(qgis.StandInError, match=said),
    ):
        lines = script.Service(url, None).scene(str(scene))
        script.scene_of(lines)
        list(script.windows(lines))


def test_an_address_that_is_none_or_nobodys_is_said(script: Any) -> None:  # noqa: ANN401
    with pytest.raises(qgis.StandInError, match="is no address of a service"):
        script.Service("file:///etc", None)
    with service([], []) as url:
        pass
    with pytest.raises(qgis.StandInError, match=f"no answer from {url}"):
        script.Service(url, None).labels()


IN_QGIS = """
import json, sys
from qgis.core import *
sys.path.insert(0, sys.argv[1])
app = QgsApplication([], False)
app.initQgis()
import chipvote_label_raster
context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
context.setProject(QgsProject.instance())
layer = QgsRasterLayer(sys.argv[2], "scene")
given = {"INPUT": layer, "URL": sys.argv[3], "LABEL": "", "STRIDE": 1, "OUTPUT": sys.argv[4]}
tool = chipvote_label_raster.LabelRaster()
results, fine = tool.create().run(given, context, feedback)
assert fine, feedback.textLog()
found = QgsProcessingUtils.mapLayerFromString(results["OUTPUT"], context)
drawn = found.renderer()
feedback.cancel()
again, fine = tool.create().run({**given, "OUTPUT": "memory:"}, context, feedback)
print(json.dumps({
    "inside": layer.extent().buffered(1e-9).contains(found.extent()),
    "column": drawn.classAttribute(),
    "ranges": [one.label() for one in drawn.ranges()],
    "labels": [one["labels"] or None for one in found.getFeatures()],
    "after cancel": QgsProcessingUtils.mapLayerFromString(again["OUTPUT"], context).featureCount(),
    "parts": [one.geometry().constGet().numGeometries() for one in found.getFeatures()],
}))
"""


@pytest.mark.parametrize("out", ["memory:", "windows.gpkg"])
def test_qgis_gets_a_styled_layer(scene: Path, tmp_path: Path, out: str) -> None:
    where = out if out == "memory:" else tmp_path / out
    with service(ANSWER, []) as url:
        told = json.loads(qgis.run(IN_QGIS, SCRIPT.parent, scene, url, where))
    assert told["column"] == "p_built"  # the most frequent
    assert told["ranges"][0] == "built 0.0 to 0.2"
    assert told["labels"] == ["built", None, None]
    assert told["parts"] == [1, 1, 2]
    assert told["inside"]
    assert told["after cancel"] == 0
