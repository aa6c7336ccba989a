"""Evidence as a picture: the colours, and through HTTP with the default bundle."""

import io

import httpx2
import numpy as np
import pytest
from PIL import Image

from service.answers.overlay import overlay, sheet
from tests.kit.serving import SAMPLE_CHIP
from tests.service.server.test_problems import assert_problem

SAMPLE = SAMPLE_CHIP.read_bytes()
JPEG = {"content-type": "image/jpeg"}
GREY = np.full((64, 64, 3), 100, np.uint8)


def test_evidence_in_favour_is_coloured_and_nothing_else() -> None:
    pixels = np.asarray(overlay(GREY, [[4.0, -9.0], [-9.0, -9.0]]), int)
    assert pixels[0, 0].tolist() == [221, 198, 84]  # 22 % of the chip, 78 % of the brightest colour
    assert (pixels[40:, 40:] == 100).all()
    red_down_the_side = pixels[:32, 0, 0]
    assert (np.diff(red_down_the_side[8:]) <= 0).all()


def test_a_map_without_evidence_in_favour_leaves_the_chip_alone() -> None:
    assert (np.asarray(overlay(GREY, [[-1.0, -2.0]])) == 100).all()


def test_a_sheet_holds_the_chip_and_every_map() -> None:
    grid = [[1.0]]
    image = sheet(GREY, {f"label-{index}": grid for index in range(5)})
    assert image.size == (4 * (120 + 8) + 8, 2 * (64 + 24 + 8) + 8)  # room for captions
    assert image.getpixel((8 + 32, 8 + 24 + 32)) == (100, 100, 100)
    assert image.getpixel((8 + 128 + 32, 8 + 24 + 32)) == (221, 198, 84)


def shown(answer: httpx2.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


def test_a_chip_is_answered_by_pictures(default_client: httpx2.Client) -> None:
    answer = default_client.post("/predict?evidence=true", content=SAMPLE, headers=JPEG).json()
    scores = {score["label"]: score for score in answer["predictions"][0]["scores"]}
    ask = "/predict?evidence=true&format=png"
    everything = shown(default_client.post(ask, content=SAMPLE, headers=JPEG))
    assert everything.size == (4 * 264 + 8, 2 * 288 + 8)  # the chip and six labels
    one = shown(default_client.post(f"{ask}&label=trees", files={"chip": ("a.jpg", SAMPLE)}))
    chip_HW3 = np.asarray(Image.open(io.BytesIO(SAMPLE)))
    np.testing.assert_array_equal(one, overlay(chip_HW3, scores["trees"]["evidence"]))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("format=png", "add evidence=true"),
        ("format=gif&evidence=true", "it is json or png"),
        ("evidence=true&label=trees", "label= chooses what format=png shows"),
        ("evidence=true&format=png&label=sea", "predicted labels: bare-soil, "),
    ],
)
def test_what_cannot_be_shown_is_refused(default_client: httpx2.Client, query: str, says: str) -> None:
    answer = default_client.post(f"/predict?{query}", content=SAMPLE, headers=JPEG)
    assert_problem(answer, 422)
    assert says in answer.json()["detail"]


def test_only_a_single_good_chip_has_a_picture(default_client: httpx2.Client) -> None:
    ask = "/predict?evidence=true&format=png"
    two = default_client.post(ask, files=[("chip", ("a.jpg", SAMPLE)), ("chip", ("b.jpg", SAMPLE))])
    assert_problem(two, 422)
    assert "2 came" in two.json()["detail"]
    assert_problem(default_client.post(ask, content=b"hello", headers=JPEG), 415)
