"""A scene's picture, against GDAL's own warp of the scene."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from PIL import Image
from rasterio.vrt import WarpedVRT

from service.contract.bundle import Bundle
from service.scenes.scene import open_scene
from service.scenes.thumbnail import SIDE_PX, Thumbnail, thumbnail
from tests.kit.ground import ground

UTM_60S, UTM_21S, WEB_MERCATOR = "EPSG:32760", "EPSG:32721", "EPSG:3857"


def write_scene(
    path: Path, pixels_HWC: npt.NDArray[np.generic], crs: str | None, transform: Affine, **options: object
) -> Path:
    height, width, bands = pixels_HWC.shape
    profile = {"height": height, "width": width, "count": bands, "dtype": pixels_HWC.dtype}
    place = {"crs": crs, "transform": transform}
    with rasterio.open(path, "w", driver="GTiff", **profile, **place, **options) as file:
        file.write(np.moveaxis(pixels_HWC, -1, 0))
    return path


def drawn(path: Path, bundle: Bundle) -> tuple[Thumbnail, npt.NDArray[np.int64]]:
    """The thumbnail and its pixels (H,W,4)."""
    found = thumbnail(open_scene(str(path), bundle.manifest.input))
    assert found
    with Image.open(io.BytesIO(found.webp)) as image:
        assert image.format == "WEBP"
        return found, np.asarray(image.convert("RGBA"), np.int64)


@pytest.mark.parametrize("turn", [0, 25], ids=["north up", "rotated"])
def test_it_lies_where_gdal_puts_the_scene(tmp_path: Path, colours: Bundle, turn: float) -> None:
    place = Affine.translation(500_000, 9_000_000) @ Affine.rotation(turn) @ Affine.scale(2, -2)
    path = write_scene(tmp_path / "a.tif", ground(0, 300), UTM_21S, place, nodata=0 if turn else None)
    found, pixels_HW4 = drawn(path, colours)
    with rasterio.open(path) as scene, WarpedVRT(scene, crs=WEB_MERCATOR) as warped:
        west, south, east, north = rasterio.warp.transform_bounds(WEB_MERCATOR, "EPSG:4326", *warped.bounds)
        reference_3HW = warped.read(out_shape=(3, *pixels_HW4.shape[:2]))
        shown_HW = warped.dataset_mask(out_shape=pixels_HW4.shape[:2]) > 0
    np.testing.assert_allclose(found.bounds, [west, south, east, north], atol=1e-5)
    both_HW = shown_HW & (pixels_HW4[..., 3] > 250)
    assert both_HW.mean() > 0.9 * shown_HW.mean() > 0.4
    differences = np.abs(np.moveaxis(pixels_HW4[..., :3], -1, 0) - reference_3HW)[:, both_HW]
    assert differences.mean() < 12  # WebP loses some of the grain; a pixel beside gives 20


def test_across_the_antimeridian_it_is_as_small_as_the_scene(tmp_path: Path, colours: Bundle) -> None:
    with rasterio.Env():
        (east_m,), (north_m,) = rasterio.warp.transform("EPSG:4326", UTM_60S, [180], [-17])
    place = Affine(10, 0, east_m - 1000, 0, -10, north_m)
    path = write_scene(tmp_path / "a.tif", ground(1, 200), UTM_60S, place)
    found, _ = drawn(path, colours)
    west, south, east, north = found.bounds
    assert 179.98 < west < 180 < east < 180.02
    assert -17.03 < south < north < -16.99


def test_what_the_scene_leaves_out_is_clear(tmp_path: Path, colours: Bundle) -> None:
    pixels_HWC = ground(2, 128).clip(1, None)
    pixels_HWC[:, :64] = 0
    path = write_scene(tmp_path / "a.tif", pixels_HWC, WEB_MERCATOR, Affine(2, 0, 0, 0, -2, 0), nodata=0)
    _, pixels_HW4 = drawn(path, colours)
    assert (pixels_HW4[:, :62, 3] == 0).all()
    assert (pixels_HW4[:, 66:, 3] == 255).all()


def test_a_large_scene_is_drawn_from_its_overviews_or_not_at_all(
    tmp_path: Path, colours: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Affine(2, 0, 0, 0, -2, 0)
    path = write_scene(
        tmp_path / "a.tif", np.tile(ground(3), (2 * SIDE_PX // 64,) * 2 + (1,)), WEB_MERCATOR, place
    )
    monkeypatch.setattr("service.scenes.thumbnail.MOST_READ_PX", SIDE_PX**2)
    assert thumbnail(open_scene(str(path), colours.manifest.input)) is None
    with rasterio.open(path, "r+") as scene:
        scene.build_overviews([2])
    _, pixels_HW4 = drawn(path, colours)
    assert pixels_HW4.shape == (SIDE_PX, SIDE_PX, 4)


def test_a_scene_without_a_place_has_none(tmp_path: Path, colours: Bundle) -> None:
    path = write_scene(tmp_path / "a.tif", ground(4, 100), None, Affine.scale(2))
    assert thumbnail(open_scene(str(path), colours.manifest.input)) is None
