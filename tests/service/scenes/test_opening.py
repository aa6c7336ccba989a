import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from service.contract.manifest import InputSpec
from service.scenes.errors import LackingExtra, NotAScene, SceneError
from service.scenes.opening import open_tiff
from service.scenes.scene import open_scene
from tests.kit.fakes import RED, picture
from tests.kit.scenes import noise, write_scene

VRT = """<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
RGB = InputSpec(bands=("red", "green", "blue"), height=64, width=64)


def test_only_geotiffs_are_opened(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(64, 64))
    (tmp_path / "a.vrt").write_text(VRT.format(scene))
    (tmp_path / "vrt.tif").write_text(VRT.format(scene))
    picture(RED).save(tmp_path / "a.png")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "cut.tif").write_bytes(scene.read_bytes()[:100])
    for name in ("a.vrt", "vrt.tif", "a.png", "empty.tif", "cut.tif"):
        with pytest.raises(NotAScene, match="cannot be opened as a GeoTIFF"):
            open_tiff(str(tmp_path / name))
    for name in (
        VRT.format(scene),
        f"GTIFF_DIR:1:{scene}",
        f"/vsisubfile/0,{scene}",
        "",
        "nowhere.tif",
        ".",
        "a" * 999,
    ):
        with pytest.raises(NotAScene, match="no such file"):
            open_tiff(name)


def test_what_lies_beside_a_scene_stays_closed(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(512, 512))
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(scene, "r+") as dataset:
        dataset.build_overviews([2, 4])
    assert Path(f"{scene}.ovr").is_file()
    shutil.copy(write_scene(tmp_path / "mask.tif", np.zeros((512, 512, 1), np.uint8)), f"{scene}.msk")
    words = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
    Path(f"{scene}.aux.xml").write_text(words)
    with rasterio.open(scene) as dataset:  # as rasterio would by default
        assert (dataset.nodata, dataset.overviews(1)) == (7, [2, 4])
    found = open_scene(str(scene), RGB)
    assert (found.nodata, found.overviews, found.masked) == (None, (), False)


def test_a_scene_that_leads_to_another_file_is_refused(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(64, 64))
    other = write_scene(tmp_path / "other.tif", noise(32, 32))
    (tmp_path / "other.vrt").write_text(VRT.format(other))
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(tmp_path / "other.vrt"))
    with pytest.raises(SceneError, match="names another file for its overviews"):
        open_tiff(str(scene))


def test_without_the_extra_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(LackingExtra, match=r"pip install 'chipvote\[scenes\]'"):
        open_tiff("scene.tif")
