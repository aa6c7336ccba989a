from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from service.contract.chips.band_files import Grouped, decode_band_files, group_bands
from service.contract.errors import ChipError, WrongBands, WrongSize, WrongValues
from service.contract.manifest import InputSpec, Pixel
from service.contract.sensors import SENSORS
from tests.kit.band_files import BANDS, CODES, SPEC, stacked, write_bands

LANDSAT = InputSpec(bands=("red", "nir08"), dtype="uint16", height=8, width=8, sensor="landsat-8-9", nodata=0)


def grouped(root: Path, spec: InputSpec | None = SPEC) -> Grouped:
    return group_bands(sorted(file for file in root.rglob("*") if file.is_file()), spec, root)


def decoded(root: Path, spec: InputSpec = SPEC) -> npt.NDArray[Pixel]:
    (chip,) = grouped(root).chips
    return decode_band_files(chip.read(spec), spec).chip_HWC


def names(*files: str, spec: InputSpec | None = SPEC) -> dict[str, list[str]]:
    """Return the files of each chip, by the chip's name."""
    found = group_bands([Path("/data", file) for file in files], spec, Path("/data"))
    return {
        chip.path.relative_to("/data").as_posix(): [
            file.name for each in chip.files.values() for file in each
        ]
        for chip in found.chips
    }


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("patch_12/{code}.tif", "patch_12"),
        ("patch_12/S2A_MSIL2A_20170613T101031_87_48_{code}.tif", "patch_12"),
        ("patch_12/{band}.tif", "patch_12"),
        ("patch12_{code}.tif", "patch12"),
        ("patch12_{band}.TIFF", "patch12"),
        ("HLS.S30.T10SEH.2020191T190931.v1.5.{code}.tif", "HLS.S30.T10SEH.2020191T190931.v1.5"),
        ("T32TQM_20180101T101010_{code}_{metres}m.tif", "T32TQM_20180101T101010"),
        ("IMG_DATA/R{metres}m/T32TQM_20180101T101010_{code}_{metres}m.tif", "IMG_DATA"),
        ("patch12_{code}_clip.tif", "patch12_clip"),
    ],
)
def test_bands_are_told_by_the_names_of_their_files(tmp_path: Path, pattern: str, name: str) -> None:
    written = write_bands(tmp_path, pattern)
    (chip,) = grouped(tmp_path).chips
    assert (chip.path, list(chip.files)) == (tmp_path / name, list(BANDS))
    np.testing.assert_array_equal(decoded(tmp_path), stacked(written))


def test_codes_may_have_no_zero_and_any_case() -> None:
    assert list(names("a/B2.tif", "a/b8a.tif", "a/B12.tif")) == ["a"]
    landsat = [
        f"x/LC08_L2SP_017036_20200101_02_T1_{end}.TIF"
        for end in ("SR_B4", "SR_B5", "SR_B6", "ST_B10", "QA_PIXEL")
    ]
    assert names(*landsat, spec=LANDSAT) == {"x": [Path(file).name for file in landsat[:3]]}
    assert names("x_red.tif", "x_near_infrared.tif", "x_Red_Edge_1.tif") == {
        "x": ["x_red.tif", "x_Red_Edge_1.tif", "x_near_infrared.tif"]
    }
    assert list(group_bands([Path("red.tif"), Path("nir.tif")], LANDSAT).chips[0].files) == ["red", "nir08"]
    free = InputSpec(bands=("vv", "vh"), dtype="float32", height=8, width=8, file_bands=("vv", "vh"))
    assert list(names("a/a_VV.tif", "a/a_VH.tif", "a/a_B02.tif", spec=free)) == ["a"]


def test_several_chips_lie_in_one_folder(tmp_path: Path) -> None:
    first, second = (write_bands(tmp_path / "chips", f"p{seed}_{{code}}.tif", seed) for seed in (1, 2))
    chips = grouped(tmp_path).chips
    assert [chip.path.name for chip in chips] == ["p1", "p2"]
    for chip, written in zip(chips, (first, second), strict=True):
        np.testing.assert_array_equal(decode_band_files(chip.read(SPEC), SPEC).chip_HWC, stacked(written))


@pytest.mark.parametrize("pattern", ["patch/{code}.tif", "patch/a_{code}.tif", "a_{code}.tif"])
def test_what_is_no_band_is_left_out(tmp_path: Path, pattern: str) -> None:
    written = write_bands(tmp_path, pattern)
    others = ("QA60", "SCL", "cloud_mask", "MSK_QUALIT_B02", "B10", "aerosol", "red_mask")
    for other in (*others, "B04.jpg"):
        name = pattern.removesuffix(".tif").format(code=other)
        (tmp_path / name).with_suffix(".jpg" if ".jpg" in name else ".tif").write_bytes(b"none of the bands")
    np.testing.assert_array_equal(decoded(tmp_path), stacked(written))
    found = grouped(tmp_path)
    assert (len(found.alone), len(found.beside)) == (0, len(others) + 1)


def test_files_of_other_chips_are_none_of_a_chips_business() -> None:
    found = group_bands([Path("/d", file) for file in ("a_B02.tif", "a_B03.tif", "b.tif", "c_B02.tif")], SPEC)
    assert [file.name for file in found.alone] == ["b.tif", "c_B02.tif"]


def test_bundles_of_pictures_have_no_chips_of_bands() -> None:
    rgb = InputSpec(bands=("red", "green", "blue"), height=8, width=8)
    assert names("a/red.tif", "a/green.tif", "a/blue.tif", spec=rgb) == {}


def test_without_a_sensor_bands_are_called_as_their_files() -> None:
    (chip,) = group_bands([Path("a/x_B8A.tif"), Path("a/x_B02.tif")], None).chips
    assert list(chip.files) == ["B2", "B8A"]


def test_of_one_band_at_several_resolutions_the_finest_counts(tmp_path: Path) -> None:
    written = write_bands(tmp_path, "R{metres}m/T32_{code}_{metres}m.tif")
    coarse = tmp_path / "R60m" / "T32_B02_60m.tif"
    tifffile.imwrite(coarse, np.full((16, 16), 9, np.uint16))
    np.testing.assert_array_equal(decoded(tmp_path), stacked(written))


def test_two_files_of_one_band_are_refused_by_name(tmp_path: Path) -> None:
    write_bands(tmp_path, "a/{code}.tif")
    (tmp_path / "a" / "B2.tif").write_bytes(b"another")
    with pytest.raises(WrongBands, match=r"B02.tif and B2.tif are both blue \(B2\) by their names; keep one"):
        decoded(tmp_path)


def test_a_band_that_lacks_is_named(tmp_path: Path) -> None:
    write_bands(tmp_path, "a/{code}.tif")
    (tmp_path / "a" / "B8A.tif").unlink()
    with pytest.raises(
        WrongBands, match=r"files of coastal \(B1\).*and none of nir08 \(B8A\); needed is one"
    ):
        decoded(tmp_path)
    few = SPEC.model_copy(update={"bands": ("nir", "red"), "file_bands": ("red", "nir")})
    assert decoded(tmp_path, few).shape == (SPEC.height, SPEC.width, 2)


def said(band: str) -> str:
    return (
        f'<GDALMetadata><Item name="DESCRIPTION" sample="0" role="description">{band}</Item></GDALMetadata>'
    )


@pytest.mark.parametrize(
    ("pixels", "description", "error", "message"),
    [
        (
            np.zeros((48, 48), np.uint8),
            "",
            WrongBands,
            r"1 band\(s\) of uint8; needed is a TIFF of one band of uint16 \(red",
        ),
        (np.ones((48, 48), np.uint16), "nir", WrongBands, "named nir; what is red cannot be told"),
        (np.ones((48, 48, 5), np.uint16), "", WrongBands, r"5 band\(s\) of uint16"),
        (np.ones((48, 24), np.uint16), "", WrongBands, "red is 24×48 px .* cannot be the same ground"),
    ],
)
def test_a_file_that_cannot_be_its_band_is_refused(
    tmp_path: Path, pixels: npt.NDArray[np.uint16], description: str, error: type[ChipError], message: str
) -> None:
    write_bands(tmp_path, "a/{code}.tif")
    tags = [(42112, "s", 0, said(description), True)] if description else []
    planes = "contig" if pixels.ndim > 2 else None
    path = tmp_path / "a" / "B04.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig=planes, extratags=tags)
    with pytest.raises(error, match=message) as refused:
        decoded(tmp_path)
    assert "red" in str(refused.value)


def test_a_file_that_names_its_band_alike_is_read(tmp_path: Path) -> None:
    written = write_bands(tmp_path, "a/{code}.tif")
    for description in ("B4", "Red"):
        tags = [(42112, "s", 0, said(description), True)]
        tifffile.imwrite(tmp_path / "a" / "B04.tif", written["red"], photometric="minisblack", extratags=tags)
        np.testing.assert_array_equal(decoded(tmp_path), stacked(written))


def test_values_and_size_are_those_of_the_whole_chip(tmp_path: Path) -> None:
    write_bands(tmp_path, "a/{code}.tif")
    with pytest.raises(WrongValues, match="the values cannot be reflectance"):
        decoded(tmp_path, SPEC.model_copy(update={"limits": ((20_000, 30_000),) * len(BANDS)}))
    for file in (tmp_path / "a").iterdir():
        tifffile.imwrite(file, np.ones((31, 31), np.uint16))
    with pytest.raises(WrongSize, match="31×31"):
        decoded(tmp_path)


def test_bands_of_eight_bits(tmp_path: Path) -> None:
    naip = SENSORS["naip"]
    spec = InputSpec(bands=naip.bands, dtype="uint8", height=40, width=40, sensor="naip")
    for value, band in enumerate(naip.bands):
        tifffile.imwrite(tmp_path / f"{band}.tif", np.full((40, 40), value + 1, np.uint8))
    (chip,) = grouped(tmp_path, spec).chips
    assert decode_band_files(chip.read(spec), spec).chip_HWC[0, 0].tolist() == [1, 2, 3, 4]


def test_bands_of_jpeg_2000_keep_their_numbers(tmp_path: Path) -> None:
    """Sentinel-2's products have 15 bits a sample."""
    written = write_bands(tmp_path, "{code}.tif")
    for band, code in zip(BANDS, CODES, strict=True):
        (tmp_path / f"{code}.tif").unlink()
        data = imagecodecs.jpeg2k_encode(written[band], level=0, codecformat="jp2", bitspersample=15)
        (tmp_path / f"{code}.jp2").write_bytes(data)
    np.testing.assert_array_equal(decoded(tmp_path), stacked(written))
    (tmp_path / "B02.jp2").write_bytes(data[: len(data) // 2])
    with pytest.raises(ChipError, match=r"the file of blue \(B2\): the image is truncated or corrupt"):
        decoded(tmp_path)
    colours = imagecodecs.jpeg2k_encode(np.zeros((48, 48, 3), np.uint16), codecformat="jp2")
    (tmp_path / "B02.jp2").write_bytes(colours)
    with pytest.raises(WrongBands, match=r"the JPEG 2000 has 3 band\(s\) of uint16; needed is"):
        decoded(tmp_path)


def test_real_patches_are_read_as_their_files_are(shared_data: Path) -> None:
    found = grouped(shared_data / "bigearthnet_s2" / "patches").chips
    spec = SPEC.model_copy(update={"height": 120, "width": 120})
    assert len(found) == 6
    for chip in found:
        chip_HWC = decode_band_files(chip.read(spec), spec).chip_HWC
        for band in ("red", "nir"):
            raw_HW = tifffile.imread(chip.files[band][0])
            np.testing.assert_array_equal(chip_HWC[..., spec.bands.index(band)], raw_HW)
        coarse_HW = tifffile.imread(chip.files["coastal"][0])
        # A pixel of 60 m lies over 6 × 6 of 10 m.
        shown_HW = chip_HWC[..., spec.bands.index("coastal")].reshape(20, 6, 20, 6).mean(axis=(1, 3))
        assert np.corrcoef(shown_HW.ravel(), coarse_HW.ravel())[0, 1] > 0.9
    (desert,) = grouped(shared_data / "ssl4eo_s12").chips
    assert decode_band_files(desert.read(spec), spec).chip_HWC.shape == (120, 120, 12)
    assert desert.path.name == "20200604T054639_20200604T054831_T43RCP"


def test_a_scenes_mask_and_thumbnail_are_no_bands(shared_data: Path) -> None:
    found = grouped(shared_data / "majortom_s2")
    assert [len(chip.files) for chip in found.chips] == [12]
    assert [file.name for file in found.beside] == ["cloud_mask.tif", "thumbnail.png"]
