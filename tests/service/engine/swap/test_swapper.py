import asyncio
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import Mock

import pytest

from service.contract.bundle import Bundle, load
from service.contract.errors import SwapRefused
from service.engine.swap import proof
from service.engine.swap.swapper import Swapper
from service.engine.swap.versions import open_versions
from service.metrics import Metrics
from service.settings import Settings
from tests.kit.fakes import make_bundle
from tests.kit.serving import serving
from tests.kit.swaps import make_versions, swapped
from tests.service.server.test_problems import assert_problem


@pytest.fixture
def swappable(tmp_path: Path, settings: Settings) -> Settings:
    make_versions(tmp_path, "1", "2")
    return settings.model_copy(update={"bundle": tmp_path / "1", "bundles": tmp_path})


async def ended(swapper: Swapper) -> None:
    async with asyncio.timeout(60):
        while (job := swapper.told()["job"]) and job["step"] not in ("done", "refused"):
            await asyncio.sleep(0.01)


def test_each_step_is_told_while_it_is_under_way(
    swappable: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        swapper = Swapper(versions, swappable, metrics)
        assert swapper.told()["job"] is None
        swapper.begin("2")
        with pytest.raises(SwapRefused, match="under way"):
            swapper.begin("1")
        async with asyncio.timeout(60):
            while not seen or seen[-1] != "done":
                job = swapper.told()["job"]
                assert job
                if not seen or seen[-1] != job["step"]:
                    seen.append(job["step"])
                await asyncio.sleep(0.001)
        await swapper.close()
        await versions.close()

    asyncio.run(scenario())
    order = ["checking", "draining", "loading", "comparing", "done"]
    assert [step for step in order if step in seen] == seen
    assert seen[0] == "checking"


def test_what_is_unforeseen_is_refused_without_a_word_of_it(
    swappable: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(proof, "check_memory", fail)

    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        swapper = Swapper(versions, swappable, metrics)
        swapper.begin("2")
        async with asyncio.timeout(60):
            while (job := swapper.told()["job"]) and job["step"] != "refused":
                await asyncio.sleep(0.01)
        assert job and job["detail"] == "the log says why"
        assert versions.current.version == "1"
        await swapper.close()
        await versions.close()

    asyncio.run(scenario())
    assert "a secret" in caplog.text


def test_a_folder_that_may_not_be_read_is_no_bundle(settings: Settings) -> None:
    with TemporaryDirectory() as folder:  # and not below pytest's, which is for its owner alone
        root = Path(folder)
        root.chmod(0o755)
        make_versions(root, "1", "2")
        (root / "2").chmod(0)
        swapper = Swapper(Mock(), settings.model_copy(update={"bundles": root}), Metrics())
        owner = os.geteuid()
        if owner == 0:
            os.seteuid(65534)
        try:
            assert swapper.bundles() == ["1"]
        finally:
            os.seteuid(owner)
            (root / "2").chmod(0o755)


def test_the_bundle_before_may_get_lost_while_its_folder_is_read(
    swappable: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        swapper = Swapper(versions, swappable, metrics)
        swapper.begin("2")
        await ended(swapper)
        lost, loop = versions.other, asyncio.get_running_loop()
        assert lost and lost.version == "1"

        def read(folder: Path) -> Bundle:
            loop.call_soon_threadsafe(lost.abandon, "a thread hangs")
            return load(folder)

        monkeypatch.setattr("service.engine.swap.swapper.load", read)
        swapper.begin("1")
        await ended(swapper)
        assert versions.current is not lost
        assert versions.current.admission.ready
        await swapper.close()
        await versions.close()

    asyncio.run(scenario())


def test_a_loaded_name_is_no_way_out_of_the_root_either(tmp_path: Path, settings: Settings) -> None:
    root = tmp_path / "root"
    make_versions(root, "1.0", "1.1")
    elsewhere = make_bundle(tmp_path / "elsewhere", version="9.9").folder
    with serving(settings.model_copy(update={"bundle": root / "1.0", "bundles": root})) as client:
        swapped(client, "1.1")
        shutil.rmtree(root / "1.0")
        os.symlink(elsewhere, root / "1.0")
        assert swapped(client, "1.0")["serving"] == {"bundle": "1.0", "version": "1.0"}


def test_the_folder_that_the_service_works_in_is_no_root(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = make_bundle(tmp_path / "elsewhere/colours", version="1.0").folder
    make_bundle(tmp_path / "here/colours", version="9.9")
    monkeypatch.chdir(tmp_path / "here")
    with serving(settings.model_copy(update={"bundle": served})) as client:
        assert_problem(client.post("/swap", params={"bundle": "colours"}), 409)


def test_a_folder_whose_name_is_no_text_is_no_bundle(tmp_path: Path, settings: Settings) -> None:
    make_versions(tmp_path, "1.0")
    for name in (b"\xff", b"two\nlines", b"\x1b[31m"):
        shutil.copytree(tmp_path / "1.0", os.path.join(tmp_path, os.fsdecode(name)))
    with serving(
        settings.model_copy(update={"bundle": tmp_path / os.fsdecode(b"\xff"), "bundles": tmp_path})
    ) as client:
        assert client.get("/swap").json()["bundles"] == ["1.0"]
        assert client.get("/swap").json()["serving"]["bundle"] == "?"
        assert_problem(client.post("/swap", params={"bundle": "none"}), 409)


def test_an_end_amid_a_swap_is_an_end(swappable: Settings) -> None:
    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        swapper = Swapper(versions, swappable, metrics)
        swapper.begin("2")
        await asyncio.sleep(0.2)
        await swapper.close()
        await versions.close()

    asyncio.run(scenario())
