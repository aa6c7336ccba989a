"""`POST /preview`: a chip as people see it."""

import io

import httpx2
import numpy as np
import tifffile
from PIL import Image

from tests.kit.serving import SAMPLE_CHIP

SAMPLE = SAMPLE_CHIP.read_bytes()


def shown(answer: httpx2.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


def test_a_jpeg_is_shown_as_it_is(default_client: httpx2.Client) -> None:
    image = shown(default_client.post("/preview", content=SAMPLE, headers={"content-type": "image/jpeg"}))
    np.testing.assert_array_equal(image, Image.open(io.BytesIO(SAMPLE)))


def test_a_four_band_tiff_is_toned_and_in_the_order_of_the_eye(default_client: httpx2.Client) -> None:
    chip_HWC = np.empty((256, 256, 4), np.uint16)
    chip_HWC[...] = (4000, 4000, 5000, 9000)  # blue, green, red, near infrared
    file = io.BytesIO()
    tifffile.imwrite(file, chip_HWC, photometric="minisblack", planarconfig="contig")
    image = shown(default_client.post("/preview", files={"chip": ("chip.tif", file.getvalue())}))
    assert (image.size, image.mode) == ((256, 256), "RGB")
    red, green, blue = np.asarray(image)[0, 0].tolist()
    assert red > green > blue > 0


def test_what_is_no_chip_is_answered_by_its_problem(default_client: httpx2.Client) -> None:
    refused = default_client.post(
        "/preview", content=b"\xff\xd8\xff\xe0 cut", headers={"content-type": "image/jpeg"}
    )
    assert (refused.status_code, refused.json()["title"]) == (422, "Truncated or corrupt image")
    two = default_client.post("/preview", files=[("chip", ("a.jpg", SAMPLE)), ("chip", ("b.jpg", SAMPLE))])
    assert two.status_code == 400
    assert "at most 1 files" in two.json()["detail"]
