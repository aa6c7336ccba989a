"""Scenes for the page's map, where they are on the screen, and what is saved of them."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import rasterio
import rasterio.warp
from affine import Affine
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PATIENCE_MS
from tests.kit.fakes import GREEN, RED, SIZE_PX

LAYER = "chipvote"
COLUMNS, ROWS = 4, 3
PIXEL_M = 2.0
UTM_21S, UTM_60S = "EPSG:32721", "EPSG:32760"
CORNER = (500_000.0, 9_000_000.0)
MARGIN = 0.06  # of the map's side that stays free round what is fitted in


def write_scene(
    path: Path,
    *,
    columns: int = COLUMNS,
    rows: int = ROWS,
    corner: tuple[float, float] = CORNER,
    crs: str = UTM_21S,
) -> Path:
    """Write a scene: windows of red, a green first column, and a last window that is empty."""
    pixels_HWC = np.full((rows * SIZE_PX, columns * SIZE_PX, 3), RED, np.uint8)
    if columns * rows > 1:
        pixels_HWC[:, :SIZE_PX] = GREEN
        pixels_HWC[-SIZE_PX:, -SIZE_PX:] = 0
    transform = Affine(PIXEL_M, 0, corner[0], 0, -PIXEL_M, corner[1])
    size = {"height": rows * SIZE_PX, "width": columns * SIZE_PX, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        path, "w", driver="GTiff", crs=crs, transform=transform, nodata=0, tiled=True,
        blockxsize=SIZE_PX, blockysize=SIZE_PX, compress="deflate", **size,
    ) as file:  # fmt: skip
        file.write(np.moveaxis(pixels_HWC, -1, 0))
    return path


def give(page: Page, *files: Path, ended: str) -> None:
    """Choose files, and wait until the last scene's line says so much."""
    page.set_input_files("#files", files)
    expect(page.locator("#scenes li").last).to_contain_text(ended, timeout=PATIENCE_MS)


def rectangle(page: Page) -> tuple[float, float, float, float]:
    box = page.locator("#canvas").bounding_box()
    assert box
    return box["x"], box["y"], box["width"], box["height"]


def on_screen(page: Page, scene: Path) -> Callable[[float, float], tuple[float, float]]:
    """Where a pixel of a scene is on the page, while the scene fills the map."""
    left, top, width, height = rectangle(page)
    with rasterio.open(scene) as file:
        transform, crs, corners = (
            file.transform,
            file.crs,
            [(0, 0), (file.width, 0), (file.width, file.height)],
        )

    def mercator(column: float, row: float) -> tuple[float, float]:
        (x,), (y,) = rasterio.warp.transform(
            crs, "EPSG:3857", *[[part] for part in transform @ (column, row)]
        )
        return x, -y

    xs, ys = zip(*(mercator(*corner) for corner in [*corners, (0, corners[-1][1])]), strict=True)
    scale = (1 - 2 * MARGIN) * min(width / (max(xs) - min(xs)), height / (max(ys) - min(ys)))

    def place(column: float, row: float) -> tuple[float, float]:
        x, y = mercator(column, row)
        return (
            left + width / 2 + scale * (x - (max(xs) + min(xs)) / 2),
            top + height / 2 + scale * (y - (max(ys) + min(ys)) / 2),
        )

    return place


def colour_at(page: Page, point: tuple[float, float]) -> tuple[int, ...]:
    """The colour of a point of the page."""
    shot = page.screenshot(clip={"x": point[0], "y": point[1], "width": 2, "height": 2})
    return tuple(np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))[0, 0].tolist())


def saved(page: Page, what: str) -> Path:
    with page.expect_download() as caught:
        page.locator(f"#map-{what}").click()
    assert caught.value.suggested_filename == ("scene.gpkg" if what == "geopackage" else "chipvote.geojson")
    return Path(caught.value.path())


def on_screen_of_dateline(page: Page, scene: Path) -> list[tuple[float, float]]:
    """The middles of windows that lie side by side; Web Mercator's own x would jump there."""
    x, y, width, height = rectangle(page)
    side = width * (1 - 2 * MARGIN) / 3
    return [(x + width / 2 + (column - 1) * side, y + height / 2) for column in range(3)]


def lines(*parts: dict[str, Any]) -> Callable[[Route], None]:
    body = "".join(f"{json.dumps(part)}\n" for part in parts)
    return lambda route: route.fulfill(body=body, content_type="application/x-ndjson")


def told(client: httpx2.Client, windows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A first line, and a window's."""
    ring = [[-57.0, -9.0], [-57.0, -9.1], [-56.9, -9.1], [-56.9, -9.0], [-57.0, -9.0]]
    footprint = {"type": "Polygon", "coordinates": [ring]}
    scene = {"filename": "scene.tif", "width": 99, "height": 99, "crs": UTM_21S, "resolution_m": 2.0}
    labels = client.get("/labels").json()
    scores = [
        {"label": label["name"], "probability": 0.5, "votes": 0, "predicted": False, "members": [0.5] * 3}
        for label in labels["labels"]
    ]
    window = {"column": 0, "row": 0, "width": 64, "height": 64}
    first = {"model": labels["model"], "scene": scene | {"windows": windows, "footprint": footprint}}
    return first, {"window": window, "footprint": footprint, "labels": [], "scores": scores, "members": 3}
