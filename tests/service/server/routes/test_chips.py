import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tifffile

from service.settings import Settings
from tests.kit.fakes import (
    BLUE,
    GREEN,
    LABELS,
    MEMBERS,
    RAW_SCALE,
    RED,
    SIZE_PX,
    encoded,
    make_raw_bundle,
    picture,
    raw_members,
)
from tests.kit.serving import serving
from tests.service.contract.chips.test_decode import GOOD, tiff
from tests.service.server.test_problems import assert_problem

RED_JPEG = encoded(picture(RED), "JPEG")


def send(client: httpx2.Client, *files: tuple[str, bytes]) -> httpx2.Response:
    return client.post("/predict", files=[("chip", file) for file in files])


def answered(response: httpx2.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    body = response.json()
    assert body.keys() == {"model", "predictions"}
    assert body["model"] == {"name": "colours", "version": "1.2.3"}
    predictions: list[dict[str, Any]] = body["predictions"]
    return predictions


def test_one_file(client: httpx2.Client) -> None:
    (prediction,) = answered(send(client, ("red.jpg", RED_JPEG)))
    assert prediction.keys() == {"filename", "labels", "scores", "members"}
    assert prediction["filename"] == "red.jpg"
    assert prediction["labels"] == ["reddish"]
    assert prediction["members"] == MEMBERS
    assert [score["label"] for score in prediction["scores"]] == list(LABELS)
    first = prediction["scores"][0]
    assert (first["votes"], first["predicted"]) == (MEMBERS, True)
    assert 0.9 < first["probability"] < 1


def test_a_chip_that_was_squeezed_is_answered_with_a_warning(client: httpx2.Client) -> None:
    large = encoded(picture(RED, 10 * SIZE_PX), "JPEG")
    files = (("red.jpg", RED_JPEG), ("large.jpg", large), ("off.png", encoded(picture(RED, 70), "PNG")))
    fine, squeezed, off = answered(send(client, *files))
    assert "warnings" not in fine and "warnings" not in off
    assert squeezed["labels"] == ["reddish"]
    (warning,) = squeezed["warnings"]
    assert "640×640 px and was squeezed to 64×64" in warning
    assert "10 times smaller" in warning and "chipvote map" in warning


def test_a_raw_body_has_no_filename(client: httpx2.Client) -> None:
    for name, media_type in (("RGB JPEG", "jpeg"), ("RGB PNG", "png"), ("planar TIFF", "tiff")):
        response = client.post(
            "/predict", content=GOOD[name], headers={"content-type": f"image/{media_type}"}
        )
        (prediction,) = answered(response)
        assert prediction["filename"] is None
        assert prediction["labels"] == ["reddish"]


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gets_the_same_labels(client: httpx2.Client, name: str) -> None:
    (prediction,) = answered(send(client, (name, GOOD[name])))
    assert prediction["labels"] == ["reddish"]


def test_many_files_are_answered_in_order(client: httpx2.Client) -> None:
    colours = [RED, GREEN, BLUE] * 12  # more than one batch, and more than the request's places
    files = [(f"{index}.png", encoded(picture(colour), "PNG")) for index, colour in enumerate(colours)]
    predictions = answered(send(client, *files))
    assert [prediction["filename"] for prediction in predictions] == [name for name, _ in files]
    assert [p["labels"] for p in predictions] == [["reddish"], ["greenish"], ["bluish"]] * 12


def test_a_bad_file_among_many_is_answered_in_its_place(client: httpx2.Client) -> None:
    good, bad, other = answered(send(client, ("a.jpg", RED_JPEG), ("b.txt", b"hello"), ("c.jpg", RED_JPEG)))
    assert good["labels"] == other["labels"] == ["reddish"]
    assert bad.keys() == {"filename", "error"}
    assert bad["filename"] == "b.txt"
    assert bad["error"].keys() == {"type", "title", "status", "detail"}
    assert bad["error"]["status"] == 415


def test_many_bad_files_are_still_an_answer(client: httpx2.Client) -> None:
    predictions = answered(send(client, ("a", b""), ("b", RED_JPEG[:300])))
    assert [prediction["error"]["status"] for prediction in predictions] == [400, 422]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"hello", 415),
        (RED_JPEG[:300], 422),
        (encoded(picture(RED, 20), "PNG"), 422),
        (encoded(picture(RED, 5000), "PNG"), 413),
    ],
)
def test_a_single_bad_chip_is_its_problem(client: httpx2.Client, data: bytes, status: int) -> None:
    assert_problem(send(client, ("a.jpg", data)), status)
    raw = client.post("/predict", content=data, headers={"content-type": "image/png"})
    assert_problem(raw, status)


def test_a_request_without_chips_is_a_problem(client: httpx2.Client) -> None:
    assert_problem(client.post("/predict"), 415)
    assert_problem(client.post("/predict", json={}), 415)
    assert_problem(client.post("/predict", files={"image": RED_JPEG}), 400)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert_problem(client.post("/predict", content=b"nonsense", headers=headers), 400)


def test_limits_are_problems(client: httpx2.Client, settings: Settings) -> None:
    assert_problem(send(client, *[("a.jpg", RED_JPEG)] * (settings.max_chips + 1)), 400)
    large = bytes(settings.max_body_bytes + 1)
    headers = {"content-type": "image/png"}
    assert_problem(client.post("/predict", content=large, headers=headers), 413)
    chunks = (large[first : first + 65536] for first in range(0, len(large), 65536))
    assert_problem(client.post("/predict", content=chunks, headers=headers), 413)
    assert_problem(send(client, ("a.jpg", large)), 413)


def test_concurrent_clients_get_their_own_answers(client: httpx2.Client) -> None:
    wanted = {"reddish": RED, "greenish": GREEN, "bluish": BLUE}
    files = {label: encoded(picture(colour), "PNG") for label, colour in wanted.items()}

    def ask(label: str) -> bool:
        (prediction,) = answered(send(client, (label, files[label])))
        return bool(prediction["labels"] == [label])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, list(files) * 20))


def test_a_client_that_leaves_early_breaks_nothing(client: httpx2.Client) -> None:
    left = 'chipvote_requests_total{route="/predict",status="400"}'

    def count() -> float:
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(left)), 0)

    before = count()
    address = (client.base_url.host, client.base_url.port or 80)
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(head.encode() + b"half a chip")
    deadline_s = time.monotonic() + 60
    while count() == before:
        assert time.monotonic() < deadline_s
    assert answered(send(client, ("red.jpg", RED_JPEG)))


def test_real_chips(client: httpx2.Client, shared_data: Path) -> None:
    files = (
        sorted((shared_data / "planet").rglob("*.jpg"))[:5]
        + sorted((shared_data / "planet").rglob("*.tif"))[:5]
    )
    assert files
    predictions = answered(send(client, *((file.name, file.read_bytes()) for file in files)))
    assert [prediction["filename"] for prediction in predictions] == [file.name for file in files]
    assert all("labels" in prediction for prediction in predictions)


@pytest.fixture(scope="module")
def raw_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of a server whose bundle takes four-band uint16 chips."""
    bundle = make_raw_bundle(tmp_path_factory.mktemp("raw") / "raw")
    with serving(Settings(bundle=bundle.folder, device="cpu")) as connected:
        yield connected


def test_a_four_band_uint16_bundle_answers_tiff(raw_client: httpx2.Client) -> None:
    """The near infrared counts: with it, a dark chip is dark no more."""
    blue, green, red = (RAW_SCALE * grey for grey in (1, 2, 3))
    for infrared, labels in ((0, ["dark"]), (RAW_SCALE * 90, [])):
        pixels = np.full((SIZE_PX, SIZE_PX, 4), (blue, green, red, infrared), np.uint16)
        data = tiff(pixels, photometric="minisblack", planarconfig="contig")
        (prediction,) = answered(send(raw_client, ("chip.tif", data)))
        assert prediction["labels"] == labels


def test_a_four_band_uint16_bundle_refuses_pictures(raw_client: httpx2.Client) -> None:
    for name, kind in (("red.jpg", "JPEG"), ("red.png", "PNG")):
        response = send(raw_client, (name, encoded(picture(RED), kind)))
        assert_problem(response, 422)
        says = f"the {kind} holds 8-bit RGB; this bundle needs TIFF chips of 4 bands of uint16"
        assert says in response.text


def test_a_four_band_uint16_bundle_answers_real_planet_chips(
    raw_client: httpx2.Client, shared_data: Path
) -> None:
    """From upload to score, against the members' formula on the pixels that tifffile reads."""
    for file in sorted((shared_data / "planet" / "tif").glob("*.tif"))[:4]:
        (prediction,) = answered(send(raw_client, (file.name, file.read_bytes())))
        small_HWC = np.asarray(tifffile.imread(file), float).reshape(SIZE_PX, 4, SIZE_PX, 4, 4).mean((1, 3))
        chips_1HWC = small_HWC[None, ..., [3, 2, 1, 0]].round().astype(np.uint16)
        expected_L = np.mean([member.probabilities(chips_1HWC)[0] for member in raw_members()], axis=0)
        found_L = [score["probability"] for score in prediction["scores"]]
        np.testing.assert_allclose(found_L, expected_L, atol=1e-4)
