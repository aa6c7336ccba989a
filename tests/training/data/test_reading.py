import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from service.contract.chips.bands import RGB
from service.contract.manifest import InputSpec
from service.contract.sensors import SENSORS
from tests.kit import band_files, stripes
from training.data.names import find_chips
from training.data.reading import LabelledChips, read_chips
from training.data.tables.forms import find_tags
from training.run.folder import Source

SPEC = InputSpec(bands=RGB, height=stripes.SIZE_PX, width=stripes.SIZE_PX)

PLANET_BANDS = SENSORS["planet-contest"].bands


def read(data: Path, folder: Path, skip_bad: bool = False) -> LabelledChips:
    return read_chips(Source(data=data, skip_bad=skip_bad), SPEC, folder)


@pytest.mark.parametrize(
    ("tags_file", "chips_folder"),
    [
        ("labels.csv", "chips"),
        ("train_v2.csv", "train-jpg"),
        ("train_classes.csv", "images"),
        ("my.csv", "."),
    ],
)
def test_known_layouts_are_found(tmp_path: Path, tags_file: str, chips_folder: str) -> None:
    data = stripes.write_data(tmp_path / "data", 9, tags_file, chips_folder)
    chips = read(data, tmp_path)
    assert chips.tags.names == [f"chip_{index}" for index in range(9)]
    assert chips.tags.labels == stripes.LABELS
    for index, chip_HWC in enumerate(chips.chips_NHWC):
        np.testing.assert_array_equal(chip_HWC, stripes.draw(stripes.tags_of(index), index))
        assert chips.tags.rows()[index] == stripes.tags_of(index)


def test_unusual_names_can_be_given(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 3, "first.csv", "odd")
    stripes.write_tags(data / "second.csv", {"chip_1": ["red"]})
    with pytest.raises(ValueError, match=r"found first.csv, second.csv; name the table with --tags"):
        find_tags(Source(data=data))
    source = Source(data=data, tags=data / "second.csv", chips=data / "odd")
    chips = read_chips(source, SPEC, tmp_path)
    assert (chips.tags.names, chips.tags.rows()) == (["chip_1"], [["red"]])
    with pytest.raises(ValueError, match="name the chips' folder with --chips"):
        find_chips(replace(source, data=tmp_path / "other", chips=None), ["chip_1"])


def test_names_may_carry_their_extension(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 3)
    stripes.write_tags(data / "labels.csv", {"chip_1.png": ["red"], "chip_2": ["red"]})
    assert read(data, tmp_path).tags.names == ["chip_1.png", "chip_2"]


def test_a_folder_without_tags_or_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no table of tags; name the table with --tags"):
        find_tags(Source(data=tmp_path))
    with pytest.raises(ValueError, match="no such folder"):
        find_tags(Source(data=tmp_path / "nowhere"))


def test_every_chip_goes_through_the_service_decoder(tmp_path: Path) -> None:
    """Four-component JPEG, uint16 TIFF, a chip a few pixels off, and an upper-case suffix."""
    data = tmp_path / "data"
    data.mkdir()
    names = ["cmyk", "planet", "small", "UPPER"]
    stripes.write_tags(data / "tags.csv", {name: ["a", "b"] for name in names})
    picture = stripes.draw(["red"], 0)
    Image.merge(
        "CMYK", (*Image.eval(picture, lambda value: 255 - value).split(), Image.new("L", picture.size))
    ).save(data / "cmyk.jpg", quality=95)
    raw = np.random.default_rng(0).integers(
        3000, 9000, (stripes.SIZE_PX, stripes.SIZE_PX, 4), dtype=np.uint16
    )
    tifffile.imwrite(data / "planet.tif", raw, photometric="minisblack", planarconfig="contig")
    picture.crop((0, 0, stripes.SIZE_PX - 3, stripes.SIZE_PX - 1)).save(data / "small.png")
    picture.save(data / "UPPER.JPEG", quality=95)
    chips = read(data, tmp_path)
    assert chips.chips_NHWC.shape == (4, stripes.SIZE_PX, stripes.SIZE_PX, 3)
    for index in (0, 2, 3):
        off_HWC = np.abs(chips.chips_NHWC[index].astype(int) - np.asarray(picture, int))
        assert off_HWC.mean() < 20
    assert chips.chips_NHWC[1].std() > 10


def break_three(data: Path) -> None:
    """Remove a chip, cut another short, and put text in place of a third."""
    (data / "chips" / "chip_2.png").unlink()
    whole = (data / "chips" / "chip_5.png").read_bytes()
    (data / "chips" / "chip_5.png").write_bytes(whole[: len(whole) // 2])
    (data / "chips" / "chip_0.png").write_text("no picture")


def test_all_bad_rows_are_listed_before_anything_else_happens(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 9)
    break_three(data)
    with pytest.raises(ValueError, match="3 rows have no usable chip") as error:
        read(data, tmp_path)
    for part in ("chip_0", "chip_2: no chip in", "chip_5", "--skip-bad"):
        assert part in str(error.value)
    assert not (tmp_path / "excluded.csv").exists()


def test_skipped_rows_are_recorded_and_the_rest_stays_aligned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = stripes.write_data(tmp_path / "data", 9)
    break_three(data)
    chips = read(data, tmp_path, skip_bad=True)
    assert "3 rows have no usable chip" in caplog.text
    kept = [1, 3, 4, 6, 7, 8]
    assert chips.tags.names == [f"chip_{index}" for index in kept]
    assert chips.tags.rows() == [stripes.tags_of(index) for index in kept]
    assert len(chips.chips_NHWC) == len(kept)
    for index, chip_HWC in zip(kept, chips.chips_NHWC, strict=True):
        np.testing.assert_array_equal(chip_HWC, stripes.draw(stripes.tags_of(index), index))
    with (tmp_path / "excluded.csv").open(newline="") as stream:
        excluded = {row["image_name"]: row["reason"] for row in csv.DictReader(stream)}
    assert excluded.keys() == {"chip_0", "chip_2", "chip_5"}
    assert all(excluded.values())


def test_the_digest_is_of_names_tags_and_files(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 4)
    expected = hashlib.sha256()
    for index in range(4):
        file = (data / "chips" / f"chip_{index}.png").read_bytes()
        expected.update(f"chip_{index}\0{' '.join(stripes.tags_of(index))}\0".encode())
        expected.update(hashlib.sha256(file).digest())
    assert read(data, tmp_path).digest == expected.hexdigest()


def test_the_digest_changes_with_any_part_of_the_data(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 4)
    rows = {f"chip_{index}": stripes.tags_of(index) for index in range(4)}
    digests = [read(data, tmp_path).digest]
    assert read(data, tmp_path).digest == digests[0]

    stripes.write_tags(data / "labels.csv", {**rows, "chip_1": ["dark", "green"]})
    digests.append(read(data, tmp_path).digest)
    renamed = {name: ["grey" if tag == "green" else tag for tag in row] for name, row in rows.items()}
    stripes.write_tags(data / "labels.csv", renamed)
    digests.append(read(data, tmp_path).digest)
    stripes.write_tags(data / "labels.csv", dict(reversed(rows.items())))
    digests.append(read(data, tmp_path).digest)
    stripes.write_tags(data / "labels.csv", rows)
    stripes.draw(["red"], 99).save(data / "chips" / "chip_3.png")
    digests.append(read(data, tmp_path).digest)
    assert len(set(digests)) == len(digests)


def test_real_planet_chips_of_both_kinds(shared_data: Path, tmp_path: Path) -> None:
    tags = tmp_path / "tags.csv"
    source = Source(data=shared_data / "planet", tags=tags)
    spec = InputSpec(bands=RGB, height=256, width=256)
    for folder in ("jpg", "tif"):
        names = sorted(path.stem for path in (shared_data / "planet" / folder).iterdir())[:4]
        stripes.write_tags(tags, {name: ["primary"] for name in names})
        chips = read_chips(replace(source, chips=shared_data / "planet" / folder), spec, tmp_path)
        assert chips.chips_NHWC.shape == (4, 256, 256, 3)
        assert (chips.chips_NHWC.std(axis=(1, 2, 3)) > 3).all()


def write_list(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def test_listed_rows_are_left_out_with_their_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = stripes.write_data(tmp_path / "data", 6)
    (data / "chips" / "chip_3.png").unlink()  # a row that is left out needs no chip
    exclude = write_list(
        tmp_path / "list.csv",
        ("image_name", "reason"),
        ("chip_1", "different ground"),
        ("chip_3.png", ""),
        ("chip_77", "shifted"),
    )
    chips = read_chips(Source(data=data, exclude=exclude), SPEC, tmp_path)
    assert chips.tags.names == ["chip_0", "chip_2", "chip_4", "chip_5"]
    np.testing.assert_array_equal(chips.chips_NHWC[1], stripes.draw(stripes.tags_of(2), 2))
    with (tmp_path / "excluded.csv").open(newline="") as stream:
        reasons = {row["image_name"]: row["reason"] for row in csv.DictReader(stream)}
    assert reasons == {"chip_1": "list.csv: different ground", "chip_3": "list.csv: listed"}
    assert "1 names are in no row of the tags file: chip_77" in caplog.text


def test_a_list_needs_names_and_must_leave_some(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 2)
    without = write_list(tmp_path / "without.csv", ("name",), ("chip_1",))
    with pytest.raises(ValueError, match=r"without.csv: its first line is 'name'; it must have image_name"):
        read_chips(Source(data=data, exclude=without), SPEC, tmp_path)
    every = write_list(tmp_path / "every.csv", ("image_name",), ("chip_0",), ("chip_1",))
    with pytest.raises(ValueError, match="lists every row"):
        read_chips(Source(data=data, exclude=every), SPEC, tmp_path)


@pytest.fixture
def audited(tmp_path: Path) -> Source:
    """Chips, their TIFFs, and a table by which one of these shows the same ground."""
    data = stripes.write_data(tmp_path / "data", 3)
    (tmp_path / "tif").mkdir()
    for index in range(3):
        grey = np.full((stripes.SIZE_PX, stripes.SIZE_PX, 3), 200 + index, np.uint8)
        tifffile.imwrite(tmp_path / "tif" / f"chip_{index}.tif", grey, photometric="rgb")
    audit = write_list(
        tmp_path / "audit.csv",
        ("image_name", "verdict"),
        ("chip_0", "shifted"),
        ("chip_1", "same ground"),
        ("chip_9", "same ground"),
    )
    return Source(data=data, tif=tmp_path / "tif", audit=audit)


def test_tiffs_are_read_where_they_show_the_same_ground(audited: Source, tmp_path: Path) -> None:
    chips_NHWC = read_chips(audited, SPEC, tmp_path).chips_NHWC
    for index in (0, 2):
        np.testing.assert_array_equal(chips_NHWC[index], stripes.draw(stripes.tags_of(index), index))
    assert (chips_NHWC[1] == 201).all()


def test_tiffs_and_their_audit_belong_together(audited: Source, tmp_path: Path) -> None:
    for half in (replace(audited, tif=None), replace(audited, audit=None)):
        with pytest.raises(ValueError, match="--tif and --audit belong together"):
            read_chips(half, SPEC, tmp_path)
    with pytest.raises(ValueError, match="only runs on RGB uint8 can"):
        read_chips(audited, SPEC.model_copy(update={"dtype": "uint16"}), tmp_path)
    (tmp_path / "tif" / "chip_1.tif").unlink()
    with pytest.raises(ValueError, match=r"lacks 1 TIFFs .* the first being chip_1; give the folder"):
        read_chips(audited, SPEC, tmp_path)


def test_uint16_chips_are_kept_whole(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "planet" / "tif").iterdir())[:3]
    stripes.write_tags(tmp_path / "tags.csv", {file.stem: ["primary"] for file in files})
    spec = InputSpec(bands=PLANET_BANDS, dtype="uint16", height=256, width=256)
    chips = read_chips(Source(data=tmp_path, chips=shared_data / "planet" / "tif"), spec, tmp_path)
    assert chips.chips_NHWC.dtype == np.uint16
    np.testing.assert_array_equal(chips.chips_NHWC, np.stack([tifffile.imread(file) for file in files]))


def test_rows_and_chips_are_one_to_one(tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 2)
    twice = tmp_path / "twice.csv"
    stripes.write_tags(twice, {"chip_0": ["red"], "chip_0.png": ["blue"]})
    with pytest.raises(ValueError, match=r"chip_0 and chip_0.png are rows of one chip, .*; keep one row"):
        read_chips(Source(data=data, tags=twice), SPEC, tmp_path)
    stripes.draw(["red"], 0).save(data / "chips" / "chip_1.jpg")
    with pytest.raises(ValueError, match=r"chip_1 may be chip_1.jpg or chip_1.png; remove one"):
        read_chips(Source(data=data), SPEC, tmp_path)


def test_chips_of_one_file_per_band(tmp_path: Path) -> None:
    chips = tmp_path / "data" / "chips"
    written = [band_files.write_bands(chips, f"p{seed}/p{seed}_{{code}}.tif", seed) for seed in (1, 2)]
    stripes.write_tags(tmp_path / "data" / "labels.csv", {"p1": ["red"], "p2": ["blue"]})
    found = read_chips(Source(data=tmp_path / "data"), band_files.SPEC, tmp_path)
    for chip_HWC, bands in zip(found.chips_NHWC, written, strict=True):
        np.testing.assert_array_equal(chip_HWC, band_files.stacked(bands))
    (chips / "p2" / "p2_B05.tif").write_bytes((chips / "p1" / "p1_B05.tif").read_bytes())
    assert read_chips(Source(data=tmp_path / "data"), band_files.SPEC, tmp_path).digest != found.digest
    (chips / "p2" / "p2_B05.tif").unlink()
    with pytest.raises(
        ValueError, match=r"p2: .*chips/p2: there are files of .* and none of rededge071 \(B5\)"
    ):
        read_chips(Source(data=tmp_path / "data"), band_files.SPEC, tmp_path)
