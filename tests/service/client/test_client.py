"""The client against a real server."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from service.client import ChipvoteError, Client
from service.contract.bundle import Bundle
from service.settings import Settings
from tests.kit.fakes import BLUE, GREEN, LABELS, MEMBERS, RED, encoded, picture
from tests.kit.serving import serving, standing_in
from tests.service.answers.test_footprint import footprint_as_json, geotiff
from tests.service.client.test_transport import BUSY, Reply, saying

COLOURS = {"reddish": RED, "greenish": GREEN, "bluish": BLUE}


@pytest.fixture
def url(client: httpx2.Client) -> str:
    return str(client.base_url)


@pytest.fixture
def chips(tmp_path: Path) -> list[Path]:
    """Fifty chips, of the three colours in turn."""
    files = [tmp_path / f"{index:02}.png" for index in range(50)]
    for file, colour in zip(files, list(COLOURS.values()) * 17, strict=False):
        picture(colour).save(file)
    return files


@pytest.mark.parametrize(("chips_per_request", "connections"), [(1, 1), (7, 3), (64, 4)])
def test_results_come_in_the_order_of_the_files(
    url: str, chips: list[Path], chips_per_request: int, connections: int
) -> None:
    client = Client(url, chips_per_request=chips_per_request, connections=connections)
    results = list(client.predict(chips))
    assert [result["filename"] for result in results] == [str(file) for file in chips]
    assert [result.get("labels") for result in results] == [[name] for name in list(COLOURS) * 17][:50]


def test_a_bad_file_costs_the_others_nothing(url: str, chips: list[Path], tmp_path: Path) -> None:
    broken, empty, missing = tmp_path / "broken.jpg", tmp_path / "empty.png", tmp_path / "missing.tif"
    broken.write_bytes(encoded(picture(RED), "JPEG")[:300])
    empty.touch()
    files = [broken, chips[0], missing, chips[1], empty, tmp_path]
    for chips_per_request in (1, 2, 16):
        results = list(Client(url, chips_per_request=chips_per_request).predict(files))
        statuses = [result["error"]["status"] if "error" in result else 200 for result in results]
        assert statuses == [422, 200, 400, 200, 400, 400]
        assert [result["filename"] for result in results] == [str(file) for file in files]


def test_what_is_asked_for_comes(url: str, tmp_path: Path) -> None:
    file = tmp_path / "here.tif"
    file.write_bytes(geotiff())
    (plain,) = Client(url).predict([file])
    assert "error" not in plain and "footprint" not in plain
    (full,) = Client(url).predict([file], members=True, evidence=True, footprint=True)
    assert "error" not in full
    assert full["footprint"] == footprint_as_json(geotiff())
    assert all(len(score["members"]) == MEMBERS for score in full["scores"])
    assert all(("evidence" in score) == score["predicted"] for score in full["scores"])


def test_labels_and_model(url: str, client: httpx2.Client) -> None:
    asking = Client(f"{url}/")
    assert asking.labels() == client.get("/labels").json()
    assert asking.model() == client.get("/model").json()
    assert [label["name"] for label in asking.labels()["labels"]] == list(LABELS)


def test_a_request_that_is_too_much_is_sent_in_parts(url: str, chips: list[Path], tmp_path: Path) -> None:
    """The server of these tests takes 40 chips and 4 MiB."""
    assert len([r for r in Client(url, chips_per_request=50).predict(chips) if "labels" in r]) == 50
    noise_HWC = np.random.default_rng(0).integers(0, 256, (700, 700, 3)).astype(np.uint8)
    large = [tmp_path / f"large{index}.png" for index in range(4)]
    for file in large:
        Image.fromarray(noise_HWC).save(file)
    assert sum(file.stat().st_size for file in large) > 4 << 20
    assert ["labels" in result for result in Client(url).predict(large)] == [True] * 4
    huge = tmp_path / "huge.png"
    huge.write_bytes(bytes(5 << 20))
    good, bad = Client(url).predict([chips[0], huge])
    assert "labels" in good
    assert "error" in bad and bad["error"]["title"] == "Body too large"


def test_an_overloaded_service_answers_everything_in_the_end(colours: Bundle, chips: list[Path]) -> None:
    settings = Settings(bundle=colours.folder, device="cpu", queue_size=1, max_batch=1)
    with serving(settings) as client:
        results = list(Client(str(client.base_url), chips_per_request=1, connections=8).predict(chips))
        refused = 'chipvote_requests_total{route="/predict",status="503"}'
        assert refused in client.get("/metrics").text, "it was never overloaded"
    assert [result.get("labels") for result in results] == [[name] for name in list(COLOURS) * 17][:50]


def test_files_are_read_when_their_turn_comes(url: str, chips: list[Path]) -> None:
    asked = 0

    def endless() -> Iterator[Path]:
        nonlocal asked
        while True:
            asked += 1
            yield chips[asked % 50]

    client = Client(url, chips_per_request=2, connections=2)
    results = client.predict(endless())
    for _ in range(20):
        assert "labels" in next(results)
    assert asked < 60
    threads = threading.active_count()
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() <= threads


def test_who_leaves_early_does_not_wait(chips: list[Path]) -> None:
    replies = [Reply(200, '{"predictions": [{"filename": "", "labels": [], "scores": [], "members": 1}]}')]
    with saying(*replies, Reply(503, BUSY, {"Retry-After": "60"})) as said:
        results = Client(said.url, chips_per_request=1, connections=1).predict(chips)
        assert "labels" in next(results)
        began_s = time.monotonic()
        results.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began_s < 50


def test_a_service_that_fails_is_an_error_with_its_problem(chips: list[Path]) -> None:
    failed = '{"type":"about:blank","title":"Internal error","status":500,"detail":"its log says why"}'
    with (
        saying(Reply(500, failed)) as said,
        pytest.raises(ChipvoteError, match="Internal error: its log says why") as raised,
    ):
        list(Client(said.url).predict(chips))
    assert raised.value.problem == {
        "type": "about:blank", "title": "Internal error", "status": 500, "detail": "its log says why",
    }  # fmt: skip


@pytest.mark.parametrize("answer", ['{"predictions": []}', '{"predictions": [1]}', "{}", "[]", "[" * 100_000])
def test_an_answer_of_somebody_else_is_told(answer: str, chips: list[Path]) -> None:
    with (
        saying(Reply(200, answer)) as said,
        pytest.raises(ChipvoteError, match=r"is http://127\.0\.0\.1:.* where Chipvote answers"),
    ):
        list(Client(said.url).predict(chips[:1]))


def test_names_that_are_no_text_are_labelled_too(url: str, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b'\xff\xfe "quoted"\n.png')
    picture(RED).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(odd)
    good, bad = Client(url).predict([odd, "no\0path.png"])
    assert "error" not in good and good["labels"] == ["reddish"]
    assert good["filename"] == str(odd)
    assert "error" in bad and "embedded null byte" in bad["error"]["detail"]


def test_one_path_alone_is_a_slip(url: str) -> None:
    with pytest.raises(TypeError, match="give a list"):
        Client(url).predict("chip.png")


def test_no_more_files_are_in_memory_than_are_being_sent(
    chips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a service that is busy at first, and keeps what is sent again without an answer."""
    read: set[Path] = set()
    original = Path.read_bytes
    numbers, heard, end = count(), threading.Semaphore(0), threading.Event()

    def note(path: Path) -> bytes:
        read.add(path)
        return original(path)

    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            is_first = next(numbers) < 3
            heard.release()
            assert is_first or end.wait(60)
            self.send_response(503 if is_first else 500)
            self.send_header("content-length", "0")
            self.end_headers()

    monkeypatch.setattr(Path, "read_bytes", note)
    with standing_in(Busy) as url, ThreadPoolExecutor(1) as thread:
        client = Client(url, chips_per_request=2, connections=3)
        labelling = thread.submit(lambda: list(client.predict(chips)))
        was_heard = [heard.acquire(timeout=60) for _ in range(6)]
        time.sleep(0.2)  # for whoever would read on
        read_meanwhile = set(read)
        end.set()
        with pytest.raises(ChipvoteError, match="500"):
            labelling.result()
    assert all(was_heard)
    assert read_meanwhile == set(chips[:6])


def test_numbers_below_one_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        Client(url, connections=0)


def test_real_chips(url: str, shared_data: Path, client: httpx2.Client) -> None:
    files = (
        sorted((shared_data / "planet/jpg").iterdir())[:12]
        + sorted((shared_data / "planet/tif").iterdir())[:4]
    )
    results = list(Client(url, chips_per_request=6).predict(files))
    served = client.post(
        "/predict", files=[("chip", (str(file), file.read_bytes())) for file in files]
    ).json()
    assert results == served["predictions"]
