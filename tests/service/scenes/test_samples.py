"""Which of a scene's bands are which; tests/service/scenes/test_reading.py compares with chips."""

from pathlib import Path
from typing import Any

import pytest
import rasterio
from rasterio.enums import ColorInterp

from service.contract.manifest import InputSpec
from service.scenes.errors import SceneError, SceneTooLarge
from service.scenes.scene import open_scene
from tests.kit.scenes import noise, write_empty, write_scene

RGB = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
NAIP = InputSpec(bands=("red", "nir"), sensor="naip", height=64, width=64)


def test_the_files_own_words_come_first(tmp_path: Path) -> None:
    words = ("Near infrared", "a & b <c>", "Blue", "Red")
    file = write_scene(tmp_path / "a.tif", noise(64, 64, 4), photometric="MINISBLACK", descriptions=words)
    scene = open_scene(str(file), NAIP)
    assert (scene.bands, scene.indexes) == (("nir", "red"), (1, 4))
    file = write_scene(tmp_path / "b.tif", noise(64, 64, 4), photometric="MINISBLACK")
    with rasterio.open(file, "r+") as dataset:
        colours = ("nir", "blue", "green", "red")
        dataset.colorinterp = [ColorInterp[colour] for colour in colours]
    assert open_scene(str(file), NAIP).indexes == (1, 4)


@pytest.mark.parametrize(
    ("spec", "bands", "dtype", "options", "reason"),
    [
        (RGB, 4, "uint8", {"photometric": "CMYK"}, "neither RGB nor a sensor's bands"),
        (RGB, 3, "uint8", {"photometric": "CIELAB"}, "neither RGB nor a sensor's bands"),
        (RGB, 1, "uint8", {"photometric": "MINISWHITE"}, "white as 0"),
        (RGB, 1, "uint8", {}, "grey"),
        (RGB, 4, "uint8", {"photometric": "MINISBLACK"}, "cannot be told"),
        (RGB, 3, "uint16", {"photometric": "RGB"}, "3 band"),
        (RGB, 3, "uint16", {"nbits": 12}, "12 bits a sample"),
        (NAIP, 4, "uint8", {"photometric": "RGB", "alpha": "yes"}, "what is nir cannot be told"),
        (NAIP, 1, "uint8", {"photometric": "palette"}, "with a palette"),
        (NAIP, 4, "float32", {}, "of float32"),
        (RGB, 65, "uint8", {}, "at most 64"),
    ],
)
def test_what_cannot_be_told_is_refused(
    spec: InputSpec, bands: int, dtype: str, options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    file = write_scene(tmp_path / "scene.tif", noise(64, 64, bands, dtype), **options)
    with pytest.raises(SceneError, match=reason) as refused:
        open_scene(str(file), spec, name="mine.tif")
    assert refused.value.detail.startswith("mine.tif: ")


def test_tiles_that_take_too_much_memory_are_refused(tmp_path: Path) -> None:
    tiles = {"tiled": True, "blockxsize": 16384, "blockysize": 16384}
    file = write_empty(tmp_path / "scene.tif", 100_000, 100_000, **tiles)
    with pytest.raises(SceneTooLarge, match="16384×16384 px"):
        open_scene(str(file), RGB)
