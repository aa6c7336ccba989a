"""Whole scenes over HTTP."""

import base64
import io
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from service.contract.bundle import Bundle
from service.server.scenes import reader
from service.server.scenes.rows import Line
from service.settings import Settings
from tests.kit.fakes import LABELS, MEMBERS, RED, SIZE_PX, encoded, picture
from tests.kit.serving import serving
from tests.service.server.endings.test_stopping import running
from tests.service.server.test_problems import assert_problem

warp = pytest.importorskip("rasterio.warp")

from tests.kit.scenes import NORTH_UP, UTM, patchwork, write_scene  # noqa: E402 - it needs rasterio

LINE: TypeAdapter[Any] = TypeAdapter(Line)
TIFF = {"content-type": "image/tiff"}
ROWS, COLUMNS = 3, 4


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """A scene of coloured blocks, and the label of each by row."""
    pixels_HWC, names = patchwork(ROWS, COLUMNS)
    return write_scene(tmp_path_factory.mktemp("scenes") / "a.tif", pixels_HWC, photometric="RGB"), names


def lines_of(response: httpx2.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    for line in lines:
        LINE.validate_python(line)
    return lines


def test_the_first_line_has_a_picture_only_if_it_is_asked_for(
    client: httpx2.Client, scene: tuple[Path, list[list[str]]]
) -> None:
    path, names = scene
    for asked in ("", "?preview=true"):
        answer = client.post(f"/predict/scene{asked}", content=path.read_bytes(), headers=TIFF)
        preview = lines_of(answer)[0]["scene"].get("preview")
        assert bool(preview) == bool(asked)
    kind, data = preview["image"].split(",")
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        colours_HW3 = np.asarray(image.convert("RGB"), np.int64)
    middle = tuple(colours_HW3[colours_HW3.shape[0] // ROWS // 2, colours_HW3.shape[1] // COLUMNS // 2])
    assert names[0][0] == LABELS[int(np.argmax(middle))]
    west, south, east, north = preview["bounds"]
    assert west < east and south < north


def test_each_window_is_a_line_and_the_last_one_says_done(
    client: httpx2.Client, scene: tuple[Path, list[list[str]]]
) -> None:
    path, names = scene
    start, *windows, done = lines_of(client.post("/predict/scene", content=path.read_bytes(), headers=TIFF))
    assert start["model"] == {"name": "colours", "version": "1.2.3"}
    told = start["scene"]
    assert (told["filename"], told["width"], told["height"]) == (None, COLUMNS * SIZE_PX, ROWS * SIZE_PX)
    assert (told["crs"], told["windows"]) == (UTM, ROWS * COLUMNS)
    assert told["resolution_m"] == pytest.approx(NORTH_UP.a, rel=1e-3)
    assert len(windows) == ROWS * COLUMNS
    for line in windows:
        column, row = (line["window"][side] // SIZE_PX for side in ("column", "row"))
        assert line["labels"] == [names[row][column]]
        assert [score["label"] for score in line["scores"]] == list(LABELS)
        assert line["members"] == MEMBERS
    assert done == {"done": {"windows": 12, "labelled": 12, "skipped": 0, "failed": 0}}
    (first,) = (line for line in windows if (line["window"]["column"], line["window"]["row"]) == (0, 0))
    (west,), (north,) = warp.transform(UTM, "EPSG:4326", [NORTH_UP.c], [NORTH_UP.f])
    corners = np.array(first["footprint"]["coordinates"][0])
    assert np.abs(corners - (west, north)).max(axis=1).min() < 1e-6


def test_a_form_names_the_scene_and_a_query_chooses(
    client: httpx2.Client, scene: tuple[Path, list[list[str]]]
) -> None:
    form: dict[str, Any] = {"files": [("scene", ("kampala.tif", scene[0].read_bytes()))]}
    query = {"stride": "0.5", "members": "true", "version": "1.2.3"}
    start, *windows, _ = lines_of(client.post("/predict/scene", params=query, **form))
    assert start["scene"]["filename"] == "kampala.tif"
    assert len(windows) == start["scene"]["windows"] == (2 * ROWS - 1) * (2 * COLUMNS - 1)
    assert all(len(score["members"]) == MEMBERS for score in windows[0]["scores"])


def test_what_shows_nothing_is_skipped(client: httpx2.Client, tmp_path: Path) -> None:
    pixels_HWC, _ = patchwork(1, 2)
    shown_HW = np.ones(pixels_HWC.shape[:2], np.bool_)
    shown_HW[:, SIZE_PX:] = False
    path = write_scene(tmp_path / "a.tif", pixels_HWC, mask_HW=shown_HW, photometric="RGB")
    _, first, second, done = lines_of(client.post("/predict/scene", content=path.read_bytes(), headers=TIFF))
    assert "labels" in first
    assert second["skipped"] == "nodata" and "error" not in second
    assert done["done"]["skipped"] == 1


@pytest.mark.parametrize(
    ("query", "headers", "content", "status", "said"),
    [
        ("", TIFF, b"", 400, "no bytes"),
        ("", TIFF, encoded(picture(RED), "JPEG"), 415, "GeoTIFF"),
        ("", {"content-type": "image/png"}, b"1", 415, "field `scene`"),
        ("", {**TIFF, "content-encoding": "gzip"}, b"1", 415, "gzip"),
        ("", TIFF, bytes(3 << 20), 413, "chipvote map FILE"),
        ("?stride=0.1", TIFF, b"1", 422, "stride"),
        ("?strde=1", TIFF, b"1", 422, "strde"),
        ("?version=9", TIFF, b"1", 422, "9"),
    ],
)
def test_what_cannot_be_is_one_problem(
    small: httpx2.Client, query: str, headers: dict[str, str], content: bytes, status: int, said: str
) -> None:
    response = small.post(f"/predict/scene{query}", content=content, headers=headers)
    assert said in assert_problem(response, status)["detail"]


@pytest.fixture(scope="module")
def small(settings: Settings) -> Iterator[httpx2.Client]:
    """A client of a service that takes few and small scenes."""
    changed = {"max_scene_bytes": 2 << 20, "max_scene_windows": 11, "max_scenes": 1}
    with serving(settings.model_copy(update=changed)) as connected:
        yield connected


def test_a_scene_of_too_many_windows_is_refused_before_the_first(
    small: httpx2.Client, scene: tuple[Path, list[list[str]]]
) -> None:
    response = small.post("/predict/scene", content=scene[0].read_bytes(), headers=TIFF)
    said = assert_problem(response, 413)["detail"]
    assert "12 windows; at most 11" in said and "chipvote map" in said


def test_without_the_extra_it_says_what_to_install(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.server.routes.scenes.find_spec", lambda _: None)
    response = client.post("/predict/scene", content=b"1", headers=TIFF)
    assert "chipvote[scenes]" in assert_problem(response, 501)["detail"]


@pytest.mark.parametrize("what", ["first crash", "later crash"])
def test_a_crash_of_gdal_costs_one_request(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with monkeypatch.context() as hostile:
        hostile.setattr(reader, "MODULE", "tests.kit.hostile_scene")
        response = client.post("/predict/scene", content=b"II*\0" + what.encode(), headers=TIFF)
    if what == "first crash":
        assert "does not survive" in assert_problem(response, 422)["detail"]
    else:
        start, *windows, last = lines_of(response)
        assert "scene" in start and len(windows) == 2
        assert last["error"]["status"] == 422
    assert client.post(
        "/predict", content=encoded(picture(RED), "PNG"), headers={"content-type": "image/png"}
    ).is_success


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file of 6,400 windows."""
    pixels_HWC, _ = patchwork(80, 80)
    path = tmp_path_factory.mktemp("scenes") / "long.tif"
    return write_scene(path, pixels_HWC, photometric="RGB", compress="deflate", tiled=True).read_bytes()


def answered(client: httpx2.Client) -> float:
    text = client.get("/metrics").text
    return float(text.partition('chipvote_chips_total{outcome="answered"} ')[2].split()[0])


def begin(client: httpx2.Client, body: bytes) -> socket.socket:
    """Send a scene, and read no more than the answer's beginning."""
    connection = socket.socket()
    connection.settimeout(120)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((client.base_url.host, client.base_url.port or 80))
    head = (
        f"POST /predict/scene HTTP/1.1\r\nHost: x\r\nContent-Type: image/tiff\r\nContent-Length: {len(body)}"
    )
    connection.sendall(f"{head}\r\n\r\n".encode() + body)
    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    return connection


def settled(client: httpx2.Client) -> float:
    """Wait until nothing more is answered; return how much was."""
    before, now = -1.0, answered(client)
    while before != now:
        time.sleep(0.4)
        before, now = now, answered(client)
    return now


def test_who_reads_slowly_slows_the_scene_and_who_goes_ends_it(
    colours: Bundle, long: bytes, scene: tuple[Path, list[list[str]]]
) -> None:
    with (
        running(colours, "max_scenes=1") as (_, url),
        httpx2.Client(base_url=url, timeout=60) as client,
    ):
        with begin(client, long):
            held = settled(client)
            assert held < 6000, "the rest was not computed"
            refused = client.post("/predict/scene", content=long, headers=TIFF)
            assert "1 scenes are being answered" in assert_problem(refused, 503)["detail"]
            chip: dict[str, Any] = {
                "content": encoded(picture(RED), "PNG"),
                "headers": {"content-type": "image/png"},
            }
            assert client.post("/predict", **chip).is_success, "chips alone go on"
        assert settled(client) < 6400
        until_s = time.monotonic() + 60
        while True:  # the service may not have seen yet that the client is gone
            again = client.post("/predict/scene", content=scene[0].read_bytes(), headers=TIFF)
            if again.status_code != 503 or time.monotonic() > until_s:
                break
            time.sleep(0.1)
        assert lines_of(again)[-1]["done"]["labelled"] == 12, "the place is free again"


def test_a_service_that_stops_ends_the_stream_with_a_problem(colours: Bundle, long: bytes) -> None:
    with (
        running(colours, "shutdown_s=1", "time.sleep(0.05 * len(chips_BHWC))") as (process, url),
        httpx2.stream("POST", f"{url}/predict/scene", content=long, headers=TIFF, timeout=120) as response,
    ):
        lines = response.iter_lines()
        for _ in range(5):
            next(lines)
        os.kill(process.pid, signal.SIGTERM)
        *_, last = lines
        assert json.loads(last)["error"]["status"] == 503
        assert process.wait(60) == 0
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
