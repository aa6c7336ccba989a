"""Windows as chips: the same pixels as those of a file that GDAL cuts and `decode_chip` reads.

Shape suffixes: H height, W width, C bands.
"""

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from service.contract.chips.decode import decode_chip
from service.contract.errors import CorruptChip, ServiceError, WrongBands, WrongValues
from service.contract.manifest import InputSpec
from service.scenes.errors import NotAScene, Skipped
from service.scenes.grid import Grid
from service.scenes.place import Place
from service.scenes.reading import read_chips
from service.scenes.scene import open_scene
from tests.kit.scenes import noise, write_scene

RGB = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
RGB_NODATA = RGB.model_copy(update={"nodata": 0.0})
RGB_ONE = RGB.model_copy(update={"nodata": 1.0})
NAIP = InputSpec(bands=("nir", "red"), sensor="naip", height=64, width=64, resolution_m=0.5)
FLOATS = InputSpec(
    bands=("vv", "vh"), dtype="float32", file_bands=("vv", "vh"), height=64, width=64, nodata=-1
)
CONTEST = InputSpec(bands=("blue", "green", "red", "nir"), dtype="uint16", height=64, width=64)
SENTINEL = InputSpec(
    bands=("red", "nir", "swir22"),
    dtype="uint16",
    sensor="sentinel-2-l2a",
    resolution_m=0.5,
    height=64,
    width=64,
    nodata=0.0,
)
CODES = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


def cut(scene: Path, place: Place, into: Path) -> bytes:
    """Write a window as a file of its own, as gdal_translate -srcwin does."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(scene) as whole:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        window = Window(place.column, place.row, place.width, place.height)
        form = {key: whole.profile[key] for key in ("driver", "count", "dtype", "nodata")}
        colours = whole.colorinterp
        photometric = {"red": "RGB", "palette": "PALETTE"}.get(colours[0].name, "MINISBLACK")
        alpha = {"alpha": "PREMULTIPLIED"} if form["dtype"] == "uint16" else {}  # which GDAL does not tell
        with rasterio.open(
            into, "w", width=place.width, height=place.height, photometric=photometric, **alpha, **form
        ) as chip:
            if photometric != "RGB" or len(colours) < 4 or form["dtype"] == "uint8":
                chip.colorinterp = colours
            chip.write(whole.read(window=window))
            chip.descriptions = whole.descriptions
            if colours[0].name == "palette":
                chip.write_colormap(1, whole.colormap(1))
            flags = {flag.name for flag in whole.mask_flag_enums[0]}
            if flags == {"per_dataset"}:
                chip.write_mask(whole.read_masks(1, window=window))
    return into.read_bytes()


def with_alpha(pixels_HWC: npt.NDArray[Any]) -> npt.NDArray[Any]:
    pixels_HWC[..., 3] = 255
    pixels_HWC[:30, :50, 3] = 0
    return pixels_HWC


def with_nan(pixels_HWC: npt.NDArray[Any]) -> npt.NDArray[Any]:
    pixels_HWC[:20, :90] = np.nan
    return pixels_HWC


MASK_HW = np.ones((150, 200), np.bool_)
MASK_HW[:, :30] = False
SCENES: dict[str, tuple[InputSpec, npt.NDArray[Any], dict[str, Any]]] = {
    "RGB in tiles": (RGB, noise(150, 200), {"tiled": True, "blockxsize": 64, "blockysize": 64}),
    "RGB in planes": (RGB, noise(150, 200), {"interleave": "band", "compress": "lzw", "photometric": "RGB"}),
    "YCbCr": (RGB, noise(160, 208), {"compress": "jpeg", "photometric": "YCBCR", "tiled": True}),
    "a palette": (RGB, noise(150, 200, 1), {"photometric": "palette"}),
    "grey": (RGB.model_copy(update={"grey": True}), noise(150, 200, 1), {}),
    "an opacity": (RGB_ONE, with_alpha(noise(150, 200, 4)), {"photometric": "RGB", "alpha": "yes"}),
    "an opacity that nobody needs": (RGB, with_alpha(noise(150, 200, 4)), {"alpha": "yes"}),
    "a mask": (RGB_NODATA, noise(150, 200), {"mask_HW": MASK_HW}),
    "a value left out": (RGB_ONE, noise(150, 200) // 64, {"nodata": 0, "photometric": "RGB"}),
    "four bands without names": (NAIP, noise(150, 200, 4), {"photometric": "MINISBLACK"}),
    "twelve bands by code": (SENTINEL, noise(150, 200, 12, "uint16"), {"descriptions": CODES}),
    "the contest's bands": (CONTEST, noise(150, 200, 4, "uint16"), {"photometric": "MINISBLACK"}),
    "the contest's bands as in its files": (
        CONTEST,
        noise(150, 200, 4, "uint16"),
        {"photometric": "RGB", "alpha": "PREMULTIPLIED"},
    ),
    "numbers and none": (FLOATS, with_nan(noise(150, 200, 2, "float32")), {}),
}


@pytest.mark.parametrize("name", SCENES)
def test_a_window_is_the_chip_that_gdal_cuts(name: str, tmp_path: Path) -> None:
    spec, pixels_HWC, options = SCENES[name]
    file = write_scene(tmp_path / "scene.tif", pixels_HWC, **options)
    if name == "a palette":
        with rasterio.open(file, "r+") as dataset:
            dataset.write_colormap(1, {value: (value, 255 - value, 7, 255) for value in range(256)})
    grid = Grid(open_scene(str(file), spec), spec, stride=0.8)
    found = list(read_chips(grid, spec, 2))
    assert [place for place, _ in found] == list(grid)
    assert len(found) > 6
    for place, chip_HWC in found:
        assert not isinstance(chip_HWC, ServiceError), chip_HWC
        np.testing.assert_array_equal(chip_HWC, decode_chip(cut(file, place, tmp_path / "chip.tif"), spec))
        assert chip_HWC.flags.c_contiguous


def test_a_finer_scene_is_resized_as_a_larger_chip_would_be(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "scene.tif", noise(400, 400, 4), photometric="MINISBLACK")
    coarser = NAIP.model_copy(update={"resolution_m": 0.8})
    grid = Grid(open_scene(str(file), coarser), coarser)
    assert grid.width == grid.height == 102  # 64 × 0.8 / 0.5
    for place, chip_HWC in read_chips(grid, coarser, 1):
        np.testing.assert_array_equal(chip_HWC, decode_chip(cut(file, place, tmp_path / "chip.tif"), coarser))


def test_an_overview_is_read_where_it_is_fine_enough(tmp_path: Path) -> None:
    pixels_HWC = noise(256, 256, 4)
    file = write_scene(tmp_path / "scene.tif", pixels_HWC, photometric="MINISBLACK", overviews=(2, 4))
    coarser = NAIP.model_copy(update={"resolution_m": 1.0, "bands": ("red", "green", "blue", "nir")})
    grid = Grid(open_scene(str(file), coarser), coarser)
    with rasterio.open(file, overview_level=0) as half:
        halved_HWC = np.moveaxis(half.read(), 0, -1)
    for place, chip_HWC in read_chips(grid, coarser, 2):
        row, column = place.row // 2, place.column // 2
        np.testing.assert_array_equal(chip_HWC, halved_HWC[row : row + 64, column : column + 64])


def test_windows_that_show_too_little_are_skipped(tmp_path: Path) -> None:
    pixels_HWC = noise(64, 192)
    pixels_HWC[:, :64] = 0
    pixels_HWC[:, 64:104] = 0
    file = write_scene(tmp_path / "scene.tif", pixels_HWC, nodata=0)
    grid = Grid(open_scene(str(file), RGB), RGB)
    skipped = [[isinstance(chip, Skipped) for _, chip in read_chips(grid, RGB, 1, max_nodata=most)]
               for most in (0, 0.5, 0.9, 1)]  # fmt: skip
    assert skipped == [[True, True, False]] * 2 + [[True, False, False]] * 2
    undeclared = write_scene(tmp_path / "undeclared.tif", pixels_HWC)
    for spec, nodata, expected in ((RGB, None, False), (RGB, 0.0, True), (RGB_NODATA, None, True)):
        grid = Grid(open_scene(str(undeclared), spec, nodata=nodata), spec)
        (_, first), *_ = read_chips(grid, spec, 1)
        assert isinstance(first, Skipped) == expected


def test_a_bad_window_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    file = write_scene(tmp_path / "scene.tif", noise(64, 192), **tiles)
    with rasterio.open(file) as dataset:
        offset = int(dataset.tags(1, ns="TIFF").get("BLOCK_OFFSET_1_0") or block_offset(dataset))
    data = bytearray(file.read_bytes())
    data[offset : offset + 200] = bytes(200)
    file.write_bytes(data)
    chips = [chip for _, chip in read_chips(Grid(open_scene(str(file), RGB), RGB), RGB, 1)]
    assert [isinstance(chip, CorruptChip) for chip in chips] == [False, True, False]


def block_offset(dataset: rasterio.DatasetReader) -> int:
    return int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))


def test_values_are_checked_window_by_window(tmp_path: Path) -> None:
    spec = NAIP.model_copy(update={"limits": ((0, 100), (0, 100))})
    pixels_HWC = noise(64, 128, 4) // 3
    pixels_HWC[:, 64:] += 150
    file = write_scene(tmp_path / "scene.tif", pixels_HWC, photometric="MINISBLACK")
    (_, fine), (_, foreign) = read_chips(Grid(open_scene(str(file), spec), spec), spec, 1)
    assert not isinstance(fine, ServiceError)
    assert isinstance(foreign, WrongValues)


def test_an_opacity_of_16_bits_is_no_infrared(tmp_path: Path) -> None:
    pixels_HWC = noise(64, 64, 4, "uint16")
    pixels_HWC[..., 3] = 65535
    file = write_scene(tmp_path / "scene.tif", pixels_HWC, photometric="RGB", alpha="yes")
    ((_, refused),) = read_chips(Grid(open_scene(str(file), CONTEST), CONTEST), CONTEST, 1)
    assert isinstance(refused, WrongBands)
    assert "one of them an opacity" in refused.detail


def test_reading_goes_on_from_any_window(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "scene.tif", noise(64, 640))
    grid = Grid(open_scene(str(file), RGB), RGB)
    places = [place for place, _ in read_chips(grid, RGB, 2, first=7)]
    assert places == list(grid)[7:]


def test_a_scene_that_is_gone_ends_it_and_no_thread_stays(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "scene.tif", noise(64, 640))
    grid = Grid(open_scene(str(file), RGB), RGB)
    chips = read_chips(grid, RGB, 2)
    next(chips)
    chips.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scene")]
    file.unlink()
    with pytest.raises(NotAScene, match=r"scene\.tif: there is no such file"):
        next(read_chips(grid, RGB, 2))
