import pytest

from service.contract.chips.arrangement import OPACITY, Samples, arranged
from service.contract.errors import WrongBands
from service.contract.manifest import InputSpec

RGB = ("red", "green", "blue")
PICTURE = InputSpec(bands=RGB, height=8, width=8)
CONTEST = InputSpec(bands=("red", "nir"), dtype="uint16", height=8, width=8)
NAIP = InputSpec(bands=("nir", "red"), height=8, width=8, sensor="naip")
SENTINEL = InputSpec(bands=("nir08", "red"), dtype="uint16", height=8, width=8, sensor="sentinel-2-l1c")
GREY, COLOURS, PALETTE = 1, 2, 3
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2


def words(kind: str, *texts: str) -> str:
    items = (f'<Item name="{kind}" sample="{at}" role="x">{text}</Item>' for at, text in enumerate(texts))
    return f"<GDALMetadata>{''.join(items)}</GDALMetadata>"


def samples(
    count: int, dtype: str = "uint16", photometric: int = GREY, *extra: int, said: str = ""
) -> Samples:
    return Samples(count, dtype, photometric, extra, said)


@pytest.mark.parametrize(
    ("found", "spec", "names"),
    [
        (samples(3, "uint8", COLOURS), PICTURE, RGB),
        (samples(3, "uint8", GREY), PICTURE, RGB),  # picked bands are marked grey
        (samples(4, "uint8", COLOURS, UNASSOCIATED), PICTURE, (*RGB, OPACITY)),
        (samples(4, "uint8", COLOURS, UNSPECIFIED), PICTURE, (*RGB, "")),
        # The contest's own chips say colours and opacity, and hold neither.
        (samples(4, "uint16", COLOURS, ASSOCIATED), PICTURE, ("blue", "green", "red", "nir")),
        (samples(4, "uint16", COLOURS, ASSOCIATED), CONTEST, ("blue", "green", "red", "nir")),
        (samples(4, "uint16", GREY), CONTEST, ("blue", "green", "red", "nir")),
        (samples(4, "uint16", COLOURS, UNSPECIFIED), CONTEST, (*RGB, "nir")),
        (samples(4, said=words("DESCRIPTION", "nir", "Red", "Green", "Blue")), CONTEST, ("nir", *RGB)),
        (
            samples(5, said=words("DESCRIPTION", "vv", "red", "qa", "nir", "")),
            CONTEST,
            ("", "red", "", "nir", ""),
        ),
        (samples(4, "uint8", COLOURS, UNSPECIFIED), NAIP, (*RGB, "nir")),
        # What GDAL says of a band stands above the tags.
        (
            samples(4, "uint8", COLOURS, UNASSOCIATED, said=words("COLORINTERP", "Gray", *["Undefined"] * 3)),
            NAIP,
            (*RGB, "nir"),
        ),
        (samples(2, said=words("DESCRIPTION", "B8A", "B04")), SENTINEL, ("nir08", "red")),
    ],
)
def test_bands_are_named_by_the_file_or_else_by_their_order(
    found: Samples, spec: InputSpec, names: tuple[str, ...]
) -> None:
    assert arranged(found, spec) == names


@pytest.mark.parametrize(
    ("found", "spec", "says"),
    [
        (samples(4, "uint16", COLOURS, UNASSOCIATED), PICTURE, "opacity: colours of 16 bits"),
        (
            samples(4, "uint16", COLOURS, UNASSOCIATED),
            CONTEST,
            "named red, green, blue, opacity; what is nir",
        ),
        (samples(4, "uint8", COLOURS, UNASSOCIATED), NAIP, "what is nir cannot be told"),
        (samples(3, "uint16", COLOURS), PICTURE, r"3 band\(s\) of uint16; accepted are"),
        (samples(4, "uint8", GREY), PICTURE, "without names; what is red, green, blue"),
        (samples(12), SENTINEL, "12 band.* without names; what is nir08, red cannot be told"),
        (samples(13, "float32"), SENTINEL, r"13 band\(s\) of float32; this bundle needs TIFF chips of 13"),
        (samples(2, said=words("DESCRIPTION", "red", "red")), CONTEST, "what is red, nir cannot be told"),
    ],
)
def test_what_cannot_be_told_is_refused(found: Samples, spec: InputSpec, says: str) -> None:
    with pytest.raises(WrongBands, match=says):
        arranged(found, spec)


def test_one_band_of_several_is_refused_with_the_way_to_one_file() -> None:
    with pytest.raises(
        WrongBands, match=r"1 band\(s\).* put a chip's bands into one file.*gdalbuildvrt -sep"
    ):
        arranged(samples(1), SENTINEL)


SCOPE = InputSpec(bands=("blue", "red"), dtype="uint16", height=8, width=8, sensor="planetscope-4")
RADAR = InputSpec(bands=("vv", "vh"), file_bands=("vv", "vh"), dtype="uint16", height=8, width=8)


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        (SCOPE, ["B4", "B3", "B2", "B8"]),
        (SCOPE, ["VV", "VH", "angle", "elevation"]),
        (SCOPE, ["blue", "green", "thermal", "nir"]),
        (SCOPE, ["Band 4", "Band 3", "Band 2", "Band 1"]),
        (SCOPE, ["blue", "green", "Red Edge 705", "nir"]),
        (PICTURE, ["VV", "VH", "ratio"]),
    ],
)
def test_no_order_makes_a_band_of_what_calls_itself_otherwise(spec: InputSpec, texts: list[str]) -> None:
    found = samples(len(texts), spec.dtype, said=words("DESCRIPTION", *texts))
    with pytest.raises(WrongBands, match=f"named .*'{texts[2]}'|named .*'{texts[0]}'"):
        arranged(found, spec)


@pytest.mark.parametrize(
    ("spec", "texts", "names"),
    [
        (SCOPE, ["R", "G", "B", "N"], ("red", "green", "blue", "nir")),
        (SCOPE, [f"Band {n}" for n in range(1, 5)], ("blue", "green", "red", "nir")),
        (SCOPE, ["b1", "b2", "b3", "b4"], ("blue", "green", "red", "nir")),
        (SCOPE, ["mosaic"] * 4, ("blue", "green", "red", "nir")),
        (RADAR, ["VH", "VV"], ("vh", "vv")),
    ],
)
def test_numbers_and_titles_name_no_band(spec: InputSpec, texts: list[str], names: tuple[str, ...]) -> None:
    assert arranged(samples(len(texts), said=words("DESCRIPTION", *texts)), spec) == names
