"""Where a GeoTIFF lies, against pyproj and formulas, on files of tifffile's writer."""

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tifffile
from pyproj import Transformer

from service.answers.footprint import footprint
from tests.kit.fakes import RED, encoded, picture

SIZE_PX = 64
UTM_21S, FIJI = 32721, 3832  # metres; the second is centred on the antimeridian


def geotiff(
    epsg: int = UTM_21S,
    *,
    geographic: bool = False,
    point: bool = False,
    corner: tuple[float, float] = (500_000, 9_000_000),
    scale: float = 3,
    transformation: Sequence[float] | None = None,
) -> bytes:
    """A uint8 RGB chip with the tags of a georeference."""
    model, key = (2, 2048) if geographic else (1, 3072)
    keys = [1, 1, 0, 3, 1024, 0, 1, model, 1025, 0, 1, 2 if point else 1, key, 0, 1, epsg]
    tags: list[tuple[int, str, int, Any, bool]] = [(34735, "H", len(keys), keys, True)]
    if transformation:
        tags.append((34264, "d", 16, transformation, True))
    else:
        tags.append((33550, "d", 3, (scale, scale, 0.0), True))
        tags.append((33922, "d", 6, (0.0, 0.0, 0.0, *map(float, corner), 0.0), True))
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((SIZE_PX, SIZE_PX, 3), 200, np.uint8), photometric="rgb", extratags=tags)
    return file.getvalue()


def corners(geometry: Any) -> list[tuple[float, float]]:  # noqa: ANN401
    assert geometry["type"] == "Polygon"
    (ring,) = geometry["coordinates"]
    assert ring[0] == ring[-1]
    return list(ring[:-1])


def test_a_chip_in_metres_lies_where_pyproj_says() -> None:
    side = SIZE_PX * 3
    metres = [(500_000, 9_000_000 - side), (500_000 + side, 9_000_000 - side)]
    metres += [(500_000 + side, 9_000_000), (500_000, 9_000_000)]
    to_degrees = Transformer.from_crs(UTM_21S, 4326, always_xy=True)
    expected = [to_degrees.transform(*place) for place in metres]
    np.testing.assert_allclose(corners(footprint(geotiff())), expected, atol=1e-7)


def test_a_chip_in_degrees_needs_no_projection() -> None:
    data = geotiff(4326, geographic=True, corner=(10, 50), scale=0.5)
    assert corners(footprint(data)) == [(10, 18), (42, 18), (42, 50), (10, 50)]


def test_coordinates_of_pixel_centres_are_half_a_pixel_inside() -> None:
    data = geotiff(4326, geographic=True, point=True, corner=(10, 50), scale=0.5)
    assert corners(footprint(data)) == [(9.75, 18.25), (41.75, 18.25), (41.75, 50.25), (9.75, 50.25)]


def test_a_turned_chip_has_its_own_transformation() -> None:
    quarter_turn = [0, 0.5, 0, 10, 0.5, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0, 1]
    found = corners(footprint(geotiff(4326, geographic=True, transformation=quarter_turn)))
    assert sorted(found) == [(10, 18), (10, 50), (42, 18), (42, 50)]
    area = sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(found, found[1:] + found[:1], strict=True))
    assert area > 0  # counterclockwise, as RFC 7946 asks


def test_a_chip_across_the_antimeridian_is_cut_there() -> None:
    side = SIZE_PX * 1000
    geometry = footprint(geotiff(FIJI, corner=(3_339_584.72 - side / 4, -1_900_000), scale=1000))
    assert geometry and geometry["type"] == "MultiPolygon"
    (west,), (east,) = geometry["coordinates"]
    edges = [
        min(x for x, _ in west),
        max(x for x, _ in west),
        min(x for x, _ in east),
        max(x for x, _ in east),
    ]
    assert edges == pytest.approx([180 - 16_000 / 111_319.49, 180, -180, -180 + 48_000 / 111_319.49])


@pytest.mark.parametrize(
    "data",
    [
        encoded(picture(RED), "JPEG"),
        encoded(picture(RED), "TIFF"),
        geotiff(32767),  # a system in the file's own words
        geotiff(1),  # no system
        geotiff()[:300],
        b"II*\0",
    ],
    ids=["jpeg", "plain tiff", "user defined", "unknown", "cut", "empty"],
)
def test_what_does_not_say_where_it_lies_has_none(data: bytes) -> None:
    assert footprint(data) is None


@pytest.mark.parametrize(
    "data",
    [
        geotiff(4326, geographic=True, corner=(10, 95), scale=1e-4),  # no latitude
        geotiff(4326, geographic=True, corner=(-180, 90), scale=360 / SIZE_PX),  # the whole world
        geotiff(3413, corner=(-96, 96)),  # on the pole
        geotiff(5773),  # heights
        geotiff(4978, geographic=True),  # from the earth's centre
        geotiff(scale=0),
        geotiff(scale=float("nan")),
    ],
    ids=["latitude", "world", "pole", "heights", "geocentric", "scale 0", "scale nan"],
)
def test_what_is_no_place_on_a_map_has_none(data: bytes) -> None:
    assert footprint(data) is None


@pytest.mark.parametrize("longitude", [179.9995, -180.0005, 539.9995])
def test_degrees_across_the_antimeridian_are_cut_too(longitude: float) -> None:
    geometry = footprint(geotiff(4326, geographic=True, corner=(longitude, 50), scale=1e-3 / SIZE_PX))
    assert geometry and geometry["type"] == "MultiPolygon"
    spans = [(min(x for x, _ in ring), max(x for x, _ in ring)) for (ring,) in geometry["coordinates"]]
    assert spans == [pytest.approx((179.9995, 180)), pytest.approx((-180, -179.9995))]


def test_a_chip_that_ends_at_the_antimeridian_is_whole() -> None:
    geometry = footprint(geotiff(4326, geographic=True, corner=(180 - SIZE_PX * 1e-4, 50), scale=1e-4))
    assert geometry and geometry["type"] == "Polygon"


def test_counts_in_the_file_are_not_believed() -> None:
    """Four billion keys, or keys that each claim all of a long tag: neither time nor memory."""
    endless = [1, 1, 0, 4_294_967_295, 3072, 0, 1, 32633]
    greedy = [1, 1, 0, 4000, *[2049, 34736, 60_000, 0] * 4000]
    doubles = (34736, "d", 60_000, [0.0] * 60_000, True)
    for tags in (
        [(34735, "I", len(endless), endless, True)],
        [(34735, "H", len(greedy), greedy, True), doubles],
    ):
        file = io.BytesIO()
        pixels = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
        tifffile.imwrite(file, pixels, photometric="rgb", extratags=tags)
        began_s = time.process_time()
        assert footprint(file.getvalue()) is None
        assert time.process_time() - began_s < 10


def test_an_answer_tells_it_if_asked(client: httpx2.Client) -> None:
    files = [("chip", ("geo.tif", geotiff())), ("chip", ("plain.png", encoded(picture(RED), "PNG")))]
    plain = client.post("/predict", files=files).json()["predictions"]
    assert not any("footprint" in prediction for prediction in plain)
    geo, none = client.post("/predict?footprint=true", files=files).json()["predictions"]
    assert geo["footprint"] == footprint_as_json(geotiff())
    assert none["footprint"] is None


def footprint_as_json(data: bytes) -> dict[str, Any]:
    geometry = footprint(data)
    assert geometry
    return {"type": "Polygon", "coordinates": [[list(point) for point in geometry["coordinates"][0]]]}


def test_real_chips_without_georeference(shared_data: Path) -> None:
    assert footprint(next((shared_data / "planet/tif").glob("*.tif")).read_bytes()) is None
