"""Whole maps of scenes whose colours are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from service.contract.bundle import Bundle
from service.engine.ensemble import Ensemble
from service.offline.maps.journal import JournalError
from service.offline.maps.making import Counts, Making
from service.offline.maps.plan import Wishes
from service.settings import Settings
from tests.kit.fakes import RAW_SCALE, SIZE_PX, make_bundle, make_raw_bundle
from tests.kit.scenes import noise, patchwork, write_scene


@pytest.fixture
def settings(colours: Bundle) -> Settings:
    return Settings(bundle=colours.folder, device="cpu", max_batch=8)


def made(making: Making) -> Counts:
    *_, last = making.progress()
    assert last == making.windows
    assert making.counts
    return making.counts


def rows(out: Path) -> dict[tuple[int, int], dict[str, Any]]:
    return {(row["row"], row["column"]): row for row in pq.read_table(out).to_pylist()}


def test_blocks_are_called_by_their_colours(tmp_path: Path, colours: Bundle, settings: Settings) -> None:
    pixels_HWC, names = patchwork(4, 5)
    scene, out = write_scene(tmp_path / "scene.tif", pixels_HWC), tmp_path / "map.parquet"
    counts = made(Making([str(scene)], [out], colours, settings, Wishes()))
    assert counts == Counts(20, 20, 0, 0)
    found = {at: row["labels"] for at, row in rows(out).items()}
    assert found == {
        (SIZE_PX * row, SIZE_PX * column): name
        for row, line in enumerate(names)
        for column, name in enumerate(line)
    }
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_dir()) == []


def test_a_map_of_a_sensors_bands_and_of_two_scenes(tmp_path: Path, settings: Settings) -> None:
    bundle = make_raw_bundle(tmp_path / "bundle", "sentinel-2-l2a")
    bands = bundle.manifest.input.bands
    pixels_HWC, names = patchwork(2, 3)
    raw_HWC = np.zeros((*pixels_HWC.shape[:2], len(bands)), np.uint16)
    raw_HWC[..., [bands.index(band) for band in ("red", "green", "blue")]] = (
        pixels_HWC.astype(np.uint16) * RAW_SCALE
    )
    raw_HWC[..., bands.index("nir")] = 1
    raw_HWC[:SIZE_PX, :SIZE_PX] = 0
    scenes = [
        str(
            write_scene(tmp_path / f"{at}.tif", raw_HWC, transform=rasterio.Affine(10, 0, 5e5, 0, -10, north))
        )
        for at, north in enumerate((5e6, 6e6))
    ]
    out = tmp_path / "map.parquet"
    changed = settings.model_copy(update={"bundle": bundle.folder})
    assert made(Making(scenes, [out], bundle, changed, Wishes())) == Counts(12, 10, 2, 0)
    table = pq.read_table(out).to_pylist()
    assert {row["scene"] for row in table} == set(scenes)
    for row in table:
        assert row["labels"] == names[row["row"] // SIZE_PX][row["column"] // SIZE_PX]
        assert row["nodata_share"] == 0


def test_with_all_members_their_disagreement_is_told(
    tmp_path: Path, colours: Bundle, settings: Settings
) -> None:
    scene, out = write_scene(tmp_path / "scene.tif", noise(64, 128)), tmp_path / "map.parquet"
    made(Making([str(scene)], [out], colours, settings, Wishes(all_members=True)))
    with rasterio.open(scene) as dataset:
        chips_BHWC = dataset.read().transpose(1, 2, 0).reshape(64, 2, 64, 3).swapaxes(0, 1)
    spread_BL = np.ptp(Ensemble(colours, "cpu").probabilities(np.ascontiguousarray(chips_BHWC)), axis=0)
    found = [row["disagreement"] for _, row in sorted(rows(out).items())]
    np.testing.assert_allclose(found, spread_BL.max(axis=1), atol=2e-6)
    made(Making([str(scene)], [out], colours, settings, Wishes()))  # members that did not run say nothing
    assert all(row["disagreement"] is None for row in rows(out).values())


def test_a_raster_has_the_scenes_grid(tmp_path: Path, colours: Bundle, settings: Settings) -> None:
    pixels_HWC, names = patchwork(3, 3)
    scene, out = write_scene(tmp_path / "scene.tif", pixels_HWC), tmp_path / "map.tif"
    made(Making([str(scene)], [out], colours, settings, Wishes()))
    with rasterio.open(out) as dataset, rasterio.open(scene) as source:
        assert dataset.bounds == source.bounds
        reddish_HW = dataset.read(1)
    assert (reddish_HW > 0.5).tolist() == [[name == "reddish" for name in line] for line in names]


def test_a_bad_window_is_a_row_with_its_reason(tmp_path: Path, colours: Bundle, settings: Settings) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    scene = write_scene(tmp_path / "scene.tif", noise(64, 192), **tiles)
    with rasterio.open(scene) as dataset:
        at = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    data = bytearray(scene.read_bytes())
    data[at : at + 200] = bytes(200)
    scene.write_bytes(data)
    out = tmp_path / "map.parquet"
    assert made(Making([str(scene)], [out], colours, settings, Wishes())) == Counts(3, 2, 0, 1)
    bad = rows(out)[0, 64]
    assert "cut short or damaged" in bad["error"]
    assert bad["labels"] is bad["p_reddish"] is None
    assert bad["geometry"]


def test_whatever_stops_it_it_becomes_the_same_file(
    tmp_path: Path, colours: Bundle, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.offline.maps.labelling.PART_WINDOWS", 8)
    monkeypatch.setattr("service.offline.maps.making.PART_WINDOWS", 8)
    scene = write_scene(tmp_path / "scene.tif", patchwork(5, 6)[0])
    outs = [tmp_path / name for name in ("map.parquet", "map.gpkg", "map.geojson")]
    made(Making([str(scene)], outs, colours, settings, Wishes()))
    expected = [out.read_bytes() for out in outs]
    for out in outs:
        out.unlink()
    for stop in (9, 3):
        progress = Making([str(scene)], outs, colours, settings, Wishes()).progress()
        for _ in range(stop):
            next(progress)
        progress.close()  # type: ignore[attr-defined]
    changed = Making([str(scene)], outs, colours, settings, Wishes(stride=0.5))
    with pytest.raises(JournalError, match="stride"):
        made(changed)
    progress = Making([str(scene)], outs, colours, settings, Wishes()).progress()
    assert next(progress) == 8
    assert list(progress)[-1] == 30
    assert [out.read_bytes() for out in outs] == expected


def test_it_goes_on_with_the_precision_that_it_was_begun_with(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.offline.maps.labelling.PART_WINDOWS", 4)
    bundle = make_bundle(tmp_path / "bundle", precisions=("int8", "float32"))
    scene, out = write_scene(tmp_path / "scene.tif", patchwork(3, 3)[0]), tmp_path / "map.parquet"
    for precision in ("float32", "int8"):  # whichever would be the faster one
        begun = settings.model_copy(update={"bundle": bundle.folder, "precision": precision})
        progress = Making([str(scene)], [out], bundle, begun, Wishes()).progress()
        for _ in range(7):
            next(progress)
        progress.close()  # type: ignore[attr-defined]
        with pytest.raises(JournalError, match="precision"):
            other = {"precision": "int8" if precision == "float32" else "float32"}
            made(Making([str(scene)], [out], bundle, begun.model_copy(update=other), Wishes()))
        found = begun.model_copy(update={"precision": "auto"})
        assert made(Making([str(scene)], [out], bundle, found, Wishes())).labelled == 9
