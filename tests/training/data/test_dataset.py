import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.kit import stripes
from training.data.dataset import SLICE, Dataset, band_statistics, input_spec, open_dataset, prepare
from training.data.folds import assign_folds
from training.run.folder import Run, Source


@pytest.fixture
def prepared(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A fresh run with its chips decoded, to be changed at will."""
    source = stripes.source(tmp_path_factory.getbasetemp())
    run = Run.start(tmp_path / "prepared", stripes.CONFIG, source)
    prepare(run)
    return run


def test_the_spec_is_the_configured_size() -> None:
    run = Run(folder=Path(), config=replace(stripes.CONFIG, height_px=80), source=Source(data=Path()))
    spec = input_spec(run)
    assert (spec.bands, spec.height, spec.width) == (("red", "green", "blue"), 80, stripes.SIZE_PX)


def test_what_is_prepared_is_what_lies_on_disk(prepared: Run) -> None:
    found = open_dataset(prepared)
    assert len(found) == stripes.CHIPS
    assert found.title == "colours"
    assert found.labels == stripes.LABELS
    assert found.names == [f"chip_{index}" for index in range(stripes.CHIPS)]
    for index in range(0, stripes.CHIPS, 7):
        np.testing.assert_array_equal(found.chips_NHWC[index], stripes.draw(stripes.tags_of(index), index))
        assert [stripes.LABELS[k] for k in np.flatnonzero(found.targets_NL[index])] == stripes.tags_of(index)
    expected_N = assign_folds(found.targets_NL, stripes.CONFIG.folds, stripes.CONFIG.seed)
    np.testing.assert_array_equal(found.folds_N, expected_N)


def test_preparing_again_decodes_nothing(prepared: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared.folder.iterdir()}
    assert isinstance(prepare(prepared), Dataset)
    assert {path: path.stat().st_mtime_ns for path in prepared.folder.iterdir()} == before


def test_statistics_are_numpys_over_all_chips(prepared: Run) -> None:
    found = open_dataset(prepared)
    pixels_PC = np.array(found.chips_NHWC).reshape(-1, 3).astype(np.float64)
    for statistic_C, expected_C in ((found.mean_C, pixels_PC.mean(0)), (found.std_C, pixels_PC.std(0))):
        assert statistic_C.dtype == np.float64
        np.testing.assert_allclose(statistic_C, expected_C, rtol=1e-9)
    np.testing.assert_array_equal(found.median_C, np.median(pixels_PC, axis=0))
    np.testing.assert_allclose(found.limits_C2.T, np.quantile(pixels_PC, (0.001, 0.999), axis=0))
    facts = json.loads((prepared.folder / "dataset.json").read_text())["statistics"]
    known = (found.mean_C, found.std_C, found.median_C, found.limits_C2)
    assert list(facts.values()) == [values.tolist() for values in known]


def test_pixels_that_show_nothing_count_nowhere() -> None:
    chips_NHWC = np.random.default_rng(0).integers(1, 900, (SLICE + 3, 8, 8, 2), dtype=np.uint16)
    half_NHWC = chips_NHWC.copy()
    half_NHWC[:, 4:] = 0
    expected, found = band_statistics(chips_NHWC[:, :4]), band_statistics(half_NHWC, nodata=0)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9)


def test_statistics_of_uint16_in_uneven_slices() -> None:
    random = np.random.default_rng(0)
    chips_NHWC = random.integers(0, 1 << 16, (2 * SLICE + 5, 7, 9, 4), dtype=np.uint16)
    chips_NHWC[-5:] //= 50
    statistics = band_statistics(chips_NHWC)
    np.testing.assert_allclose(statistics["mean"], chips_NHWC.mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(statistics["std"], chips_NHWC.std((0, 1, 2)), rtol=1e-9)


def test_a_run_prepared_without_statistics_gets_them_when_opened(prepared: Run) -> None:
    path = prepared.folder / "dataset.json"
    facts = json.loads(path.read_text())
    stored = facts.pop("statistics")
    path.write_text(json.dumps(facts))
    assert open_dataset(prepared).mean_C.tolist() == stored["mean"]


def test_an_exclude_list_is_followed_and_must_not_change(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 12)
    exclude = tmp_path / "exclude.csv"
    exclude.write_text("image_name,reason\nchip_4,different ground\n")
    run = Run.start(tmp_path / "run", stripes.CONFIG, Source(data=data, exclude=exclude))
    found = prepare(run)
    assert len(found) == len(found.folds_N) == 11
    assert "chip_4" not in found.names
    later_s = (run.folder / "dataset.json").stat().st_mtime + 10
    os.utime(exclude, (later_s, later_s))
    with pytest.raises(ValueError, match=r"exclude.csv: changed since this run began"):
        prepare(run)


def test_tags_that_changed_since_are_noticed(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 12)
    run = Run.start(tmp_path / "run", stripes.CONFIG, Source(data=data))
    prepare(run)
    later_s = (run.folder / "dataset.json").stat().st_mtime + 10
    os.utime(data / "labels.csv", (later_s, later_s))
    with pytest.raises(ValueError, match=r"labels.csv: changed since this run began; use another --out"):
        prepare(run)


def test_missing_weights_are_noticed_before_chips_are_decoded(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 4)
    run = Run.start(tmp_path / "run", stripes.CONFIG, Source(data=data, weights=tmp_path))
    with pytest.raises(ValueError, match=r"test_resnet.safetensors: not there"):
        prepare(run)
    assert not (run.folder / "chips.npy").exists()


def test_bad_rows_leave_no_dataset_and_skipping_them_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = stripes.write_data(tmp_path / "data", 12)
    only_dark = next(index for index in range(12) if stripes.tags_of(index) == ["dark"])
    (data / "chips" / f"chip_{only_dark}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    run = Run.start(tmp_path / "strict", stripes.CONFIG, Source(data=data))
    with pytest.raises(ValueError, match=f"chip_{only_dark}"):
        prepare(run)
    with pytest.raises(ValueError, match="run `chipvote-train prepare"):
        open_dataset(run)
    found = prepare(Run.start(tmp_path / "skipping", stripes.CONFIG, Source(data=data, skip_bad=True)))
    assert len(found) == len(found.chips_NHWC) == len(found.targets_NL) == len(found.folds_N) == 11
    assert (tmp_path / "skipping" / "excluded.csv").exists()
    for row, name in enumerate(found.names):
        index = int(name.removeprefix("chip_"))
        np.testing.assert_array_equal(found.chips_NHWC[row], stripes.draw(stripes.tags_of(index), index))
        assert [stripes.LABELS[k] for k in np.flatnonzero(found.targets_NL[row])] == stripes.tags_of(index)


def test_a_label_whose_only_chip_was_left_out_stays_and_is_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = stripes.write_data(tmp_path / "data", 6)
    rows = {f"chip_{index}": ["common", "other"][: 1 + index % 2] for index in range(6)}
    stripes.write_tags(data / "labels.csv", {**rows, "gone": ["unique"]})
    found = prepare(Run.start(tmp_path / "run", stripes.CONFIG, Source(data=data, skip_bad=True)))
    assert found.labels == ["common", "other", "unique"]
    assert not found.targets_NL[:, 2].any()
    assert "no chip has unique" in caplog.text


def test_too_few_chips_are_refused(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 4)
    run = Run.start(tmp_path / "run", replace(stripes.CONFIG, folds=5), Source(data=data))
    with pytest.raises(ValueError, match="4 chips cannot make 5 folds"):
        prepare(run)


def test_a_separator_is_a_part_of_the_run_and_labels_become_words(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 12)
    rows = (f"chip_{index},bare soil;{'river' if index % 2 else 'salt lake'}" for index in range(12))
    (data / "labels.csv").write_text("\n".join(["image_name,tags", *rows]))
    source = Source(data=data, separator=";")
    run = Run.start(tmp_path / "run", stripes.CONFIG, source)
    assert (
        prepare(run).labels
        == open_dataset(Run.open(run.folder)).labels
        == ["bare-soil", "river", "salt-lake"]
    )
    assert Run.open(run.folder).source == source
    assert len(prepare(Run.start(run.folder, stripes.CONFIG, source))) == 12
    with pytest.raises(ValueError, match="holds a run with another separator"):
        Run.start(run.folder, stripes.CONFIG, Source(data=data))


def test_a_json_beside_a_chip_that_changed_since_is_noticed(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 12)
    (data / "labels.csv").unlink()
    for index in range(12):
        content = json.dumps({"labels": ["soil", "road"][: 1 + index % 2]})
        (data / "chips" / f"chip_{index}.json").write_text(content)
    run = Run.start(tmp_path / "run", stripes.CONFIG, Source(data=data))
    prepare(run)
    later_s = (run.folder / "dataset.json").stat().st_mtime + 10
    os.utime(data / "chips" / "chip_3.json", (later_s, later_s))
    with pytest.raises(ValueError, match=r"chip_3.json: changed since this run began"):
        prepare(run)


def test_copies_share_a_fold_and_the_run_keeps_the_groups(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    data = stripes.write_data(tmp_path / "data", 12)
    for index in range(12):
        stripes.draw(stripes.tags_of(index), index).save(data / "chips" / f"again_{index}.png")
    rows = {f"{name}_{index}": stripes.tags_of(index) for name in ("chip", "again") for index in range(12)}
    stripes.write_tags(data / "labels.csv", rows)
    run = Run.start(tmp_path / "run", stripes.CONFIG, Source(data=data))
    found = prepare(run)
    np.testing.assert_array_equal(found.folds_N[:12], found.folds_N[12:])
    assert found.grouping.joined == {"same pixels": 24}
    assert "24 of 24 chips belong to 12 groups" in caplog.text
    again = open_dataset(run)
    np.testing.assert_array_equal(again.grouping.groups_N, np.tile(np.arange(12), 2))
    assert (again.apart, again.grouping.joined) == (found.apart, found.grouping.joined)


def test_a_column_groups_and_another_one_is_another_run(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 16)
    lines = (data / "labels.csv").read_text().splitlines()
    scenes = ["scene", *(f"S{index // 4}" for index in range(16))]
    (data / "labels.csv").write_text("\n".join(map(",".join, zip(lines, scenes, strict=True))) + "\n")
    run = Run.start(tmp_path / "run", stripes.CONFIG, Source(data=data, group="scene"))
    lacking = Run.start(tmp_path / "lacking", stripes.CONFIG, Source(data=data, group="place"))
    with pytest.raises(ValueError, match="has no column 'place' for --group; it has image_name, tags, scene"):
        prepare(lacking)
    assert not (lacking.folder / "chips.npy").exists()
    folds_NN = prepare(run).folds_N.reshape(4, 4)
    assert (folds_NN == folds_NN[:, :1]).all()
    with pytest.raises(ValueError, match="holds a run with another group; use another --out"):
        Run.start(tmp_path / "run", stripes.CONFIG, Source(data=data))


def test_a_run_prepared_without_groups_opens_and_says_so(prepared: Run) -> None:
    facts = json.loads((prepared.folder / "dataset.json").read_text())
    old = {key: value for key, value in facts.items() if key not in ("joined", "apart", "note")}
    (prepared.folder / "dataset.json").write_text(json.dumps(old))
    table = (prepared.folder / "chips.csv").read_text().splitlines()
    (prepared.folder / "chips.csv").write_text("".join(line.rpartition(",")[0] + "\n" for line in table))
    started = json.loads((prepared.folder / "run.json").read_text())
    for key in ("block_km", "group"):
        del started["source"][key]
    (prepared.folder / "run.json").write_text(json.dumps(started))
    found = prepare(Run.start(prepared.folder, stripes.CONFIG, prepared.source))
    assert found.grouping.groups_N.tolist() == list(range(stripes.CHIPS))
    assert "not searched for copies" in found.grouping.sentence(found.apart)


def test_what_shows_nothing_is_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "training")
    data = stripes.write_data(tmp_path / "data", 12)
    for index, rows in enumerate((stripes.SIZE_PX, 3 * stripes.SIZE_PX // 4, stripes.SIZE_PX // 4)):
        path = data / "chips" / f"chip_{index}.png"
        pixels_HWC = np.array(Image.open(path).convert("RGB"))
        pixels_HWC[:rows] = 0
        Image.fromarray(pixels_HWC).save(path)
    run = Run.start(tmp_path / "run", replace(stripes.CONFIG, nodata=0), Source(data=data))
    found = prepare(run)
    assert found.blank
    assert round(found.blank.share * 12, 6) == found.blank.mostly == 2
    assert "16.67% of the pixels show nothing (nodata); of 2 of 12 chips, more than half" in caplog.text
    path = run.folder / "dataset.json"
    facts = json.loads(path.read_text())
    assert facts.pop("nodata") == {"share": found.blank.share, "mostly": 2}
    path.write_text(json.dumps(facts))
    assert open_dataset(run).blank == found.blank


def test_without_nodata_nothing_is_said_of_it(prepared: Run) -> None:
    assert open_dataset(prepared).blank is None
