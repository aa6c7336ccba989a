"""Bundles that take each other's place, over real HTTP."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.settings import Settings
from tests.kit.fakes import LABELS, make_bundle
from tests.kit.hostile_bundles import GRAPH, KINDS
from tests.kit.serving import serving
from tests.kit.swaps import (
    CHIPS,
    contrary_members,
    ended,
    hasty_members,
    make_versions,
    predict,
    sample,
    swapped,
    version,
)
from tests.service.server.test_problems import assert_problem


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    make_versions(root, "1.0", "1.1", "1.2")
    return root


@pytest.fixture
def client(root: Path, settings: Settings) -> Iterator[httpx2.Client]:
    update = {"bundle": root / "1.0", "bundles": root, "max_chips": 1024}
    with serving(settings.model_copy(update=update)) as connected:
        yield connected


def test_another_bundle_answers_and_the_one_before_stays_loaded(client: httpx2.Client) -> None:
    assert version(predict(client)) == "1.0"
    found = swapped(client, "1.1")
    assert found["serving"] == {"bundle": "1.1", "version": "1.1"}
    assert found["other"] == {"bundle": "1.0", "version": "1.0"}
    assert found["bundles"] == ["1.0", "1.1", "1.2"]
    assert found["job"]["differences"] == {"chips": 1, "different": 0, "labels": []}
    assert version(predict(client)) == "1.1"
    assert 'version="1.1"' in client.get("/metrics").text
    assert sample(client, 'chipvote_swaps_total{outcome="done"}') == 1
    assert swapped(client, "1.0")["serving"]["version"] == "1.0"
    assert version(predict(client)) == "1.0"


def test_a_request_may_ask_for_any_version_that_is_loaded(client: httpx2.Client) -> None:
    swapped(client, "1.1")
    for wanted in ("1.0", "1.1"):
        assert version(predict(client, version=wanted)) == wanted
        assert client.get("/labels", params={"version": wanted}).json()["model"]["version"] == wanted
        assert client.get("/model", params={"version": wanted}).json()["version"] == wanted
    refused = predict(client, version="1.2")
    assert_problem(refused, 422)
    assert refused.json()["detail"] == "version=1.2 is not loaded; loaded: 1.1, 1.0"
    swapped(client, "1.2")
    assert predict(client, version="1.0").status_code == 422  # two at most are loaded


def test_a_picture_tells_its_version_too(client: httpx2.Client) -> None:
    shown = predict(client, evidence="true", format="png")
    assert shown.headers["x-chipvote-version"] == "1.0"


def test_a_version_may_be_any_text(tmp_path: Path, settings: Settings) -> None:
    served = make_bundle(tmp_path / "served", version="2 ä\r\nX-Other: 1").folder
    with serving(settings.model_copy(update={"bundle": served})) as client:
        shown = predict(client, evidence="true", format="png")
        assert shown.headers["x-chipvote-version"] == "2 %C3%A4%0D%0AX-Other: 1"
        assert "x-other" not in shown.headers


def test_the_way_back_needs_no_folder(root: Path, tmp_path: Path, settings: Settings) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    with serving(settings.model_copy(update={"bundle": copy / "1.0", "bundles": copy})) as client:
        swapped(client, "1.1")
        shutil.rmtree(copy / "1.0")
        assert swapped(client, "1.0")["serving"]["version"] == "1.0"
        assert version(predict(client)) == "1.0"


def test_a_folder_that_holds_another_bundle_by_now_is_read_again(
    root: Path, tmp_path: Path, settings: Settings
) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    with serving(settings.model_copy(update={"bundle": copy / "1.0", "bundles": copy})) as client:
        swapped(client, "1.1")
        shutil.rmtree(copy / "1.0")
        make_bundle(copy / "1.0", version="1.5")
        assert swapped(client, "1.0")["serving"] == {"bundle": "1.0", "version": "1.5"}
        assert swapped(client, "1.1")["serving"]["version"] == "1.1"


def test_two_versions_of_one_folder_swap_back_by_version(tmp_path: Path, settings: Settings) -> None:
    make_bundle(tmp_path / "one", version="1")
    with serving(settings.model_copy(update={"bundle": tmp_path / "one", "bundles": tmp_path})) as client:
        make_bundle(tmp_path / "one", version="2")
        assert swapped(client, "one")["serving"] == {"bundle": "one", "version": "2"}
        assert swapped(client, "1")["serving"] == {"bundle": "one", "version": "1"}


def test_what_there_is_not_to_ask_for_is_refused(client: httpx2.Client) -> None:
    for path, query in (("/swap", {"share": 0.1}), ("/shadow", {"shares": 0.1}), ("/swap", {"x": 1})):
        assert_problem(client.post(path, params={"bundle": "1.1", **query}), 422)
    assert client.get("/swap").json()["job"] is None


@pytest.mark.parametrize("name", ["none", "../1.1", "/etc", ".", "..", "1.1/", "1.1/../1.2", "%2e%2e", " "])
def test_only_names_below_the_root_are_known(client: httpx2.Client, name: str) -> None:
    refused = client.post("/swap", params={"bundle": name})
    assert_problem(refused, 409)
    assert "there are: 1.0, 1.1, 1.2" in refused.json()["detail"]


def test_without_a_root_nothing_can_be_brought_in(settings: Settings) -> None:
    with serving(settings) as client:
        refused = client.post("/swap", params={"bundle": "1.1"})
        assert_problem(refused, 409)
        assert "CHIPVOTE_BUNDLES" in refused.json()["detail"]
        assert client.get("/swap").json()["bundles"] == []


def test_one_swap_at_a_time(client: httpx2.Client) -> None:
    assert client.post("/swap", params={"bundle": "1.1"}).status_code == 202
    for path in ("/swap", "/shadow"):
        assert_problem(client.post(path, params={"bundle": "1.2"}), 409)
    assert_problem(client.delete("/shadow"), 409)
    assert ended(client)["serving"]["version"] == "1.1"


def _linked_out(folder: Path) -> None:
    elsewhere = make_bundle(folder.parent.parent / "elsewhere", version="9.9").folder
    shutil.rmtree(folder)
    os.symlink(elsewhere, folder)


def _a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("none")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _made(**options: Any) -> Any:  # noqa: ANN401
    def make(folder: Path) -> None:
        shutil.rmtree(folder)
        make_bundle(folder, **{"version": "9.9", **options})

    return make


BROKEN = {
    "a member's graph is missing": lambda folder: (folder / GRAPH).unlink(),
    "a member's graph is another": lambda folder: (folder / GRAPH).write_bytes(b"other"),
    "golden answers are wrong": _made(golden_shift=0.4),
    "golden decisions are wrong": _made(golden_flip=True),
    "other labels": _made(labels=("a", "b", "c", "d")),
    "labels in another order": _made(labels=LABELS[::-1]),
    "the version that answers": _made(version="1.0"),
    "all decisions contrary": _made(members=contrary_members()),
    "one label everywhere": _made(members=hasty_members()),
    "no manifest": lambda folder: (folder / "bundle.json").unlink(),
    "a file instead of a folder": _a_file,
    "a link out of the root": _linked_out,
    "an empty folder": _empty,
}


@pytest.fixture(scope="module")
def broken_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken") / "root"


@pytest.fixture(scope="module")
def steady(broken_root: Path, settings: Settings) -> Iterator[httpx2.Client]:
    make_versions(broken_root, "1.0")
    update = {"bundle": broken_root / "1.0", "bundles": broken_root}
    with serving(settings.model_copy(update=update)) as client:
        for chip in CHIPS:
            predict(client, chip)
        yield client


@pytest.mark.parametrize("kind", [*BROKEN, *list(KINDS)[::4]])
def test_what_is_broken_never_answers(kind: str, steady: httpx2.Client, broken_root: Path) -> None:
    folder = make_bundle(broken_root / "candidate", version="9.9").folder
    (BROKEN.get(kind) or KINDS[kind][0])(folder)
    began = steady.post("/swap", params={"bundle": "candidate"})
    if began.status_code == 202:
        found = ended(steady)
        assert found["job"]["step"] == "refused"
        assert found["job"]["detail"]
        assert str(broken_root) not in found["job"]["detail"]
        assert found["serving"]["version"] == "1.0"
    else:
        assert_problem(began, 409)
    assert version(predict(steady)) == "1.0"
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def test_more_may_differ_if_that_is_meant(root: Path, tmp_path: Path, settings: Settings) -> None:
    make_versions(tmp_path, "2.0")
    make_bundle(tmp_path / "2.1", version="2.1", members=contrary_members())
    with serving(settings.model_copy(update={"bundle": tmp_path / "2.0", "bundles": tmp_path})) as client:
        predict(client)
        found = swapped(client, "2.1")
        assert "100.0% of its decisions on the last 1 chips differ" in found["job"]["detail"]
        assert version(predict(client)) == "2.0"
        assert swapped(client, "2.1", most_different=1)["job"]["differences"]["different"] == 2
        assert version(predict(client)) == "2.1"


def test_no_request_fails_or_mixes_while_bundles_take_turns(tmp_path: Path, settings: Settings) -> None:
    make_versions(tmp_path, "1")
    make_bundle(tmp_path / "2", version="2", members=contrary_members())
    sure = {"1": ["reddish"], "2": ["greenish", "bluish", "dark"]}
    update = {"bundle": tmp_path / "1", "bundles": tmp_path, "max_chips": 40}
    stop, wrong, seen = threading.Event(), list[str](), set[str]()
    with serving(settings.model_copy(update=update)) as client:

        def ask() -> None:
            with httpx2.Client(base_url=client.base_url, timeout=60) as own:
                while not stop.is_set():
                    response = own.post("/predict", files=[("chip", CHIPS[0])] * 5)
                    if response.status_code != 200:
                        wrong.append(response.text)
                        continue
                    answer = response.json()
                    seen.add(said := answer["model"]["version"])
                    if any(result["labels"] != sure[said] for result in answer["predictions"]):
                        wrong.append(response.text)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(6):
            found = swapped(client, "12"[(turn + 1) % 2], most_different=1)
            assert found["job"]["step"] == "done", found
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert seen == {"1", "2"}
