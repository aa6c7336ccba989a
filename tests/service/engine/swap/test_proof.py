import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from service.contract.bundle import Bundle, load
from service.contract.errors import SwapRefused
from service.engine.served import Served, open_served
from service.engine.swap import proof
from service.engine.verdict import Verdict
from service.metrics import Metrics
from service.settings import Settings
from tests.kit.fakes import LABELS, SIZE_PX, FakeEnsemble, make_bundle, make_raw_bundle


@pytest.fixture
def candidate(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "candidate", version="2.0")


def refused(why: str) -> "pytest.RaisesExc[SwapRefused]":
    return pytest.raises(SwapRefused, match=why)


def test_only_what_users_can_take_for_a_new_version_is_alike(
    candidate: Bundle, colours: Bundle, tmp_path: Path
) -> None:
    proof.check_alike(candidate, colours)
    with refused("its version is 1.2.3"):
        proof.check_alike(colours, colours)
    with refused("its labels are others"):
        proof.check_alike(make_bundle(tmp_path / "1", version="2", labels=LABELS[::-1]), colours)
    with refused("it takes other chips"):
        proof.check_alike(make_raw_bundle(tmp_path / "2"), candidate)


def test_there_must_be_memory_for_two(
    candidate: Bundle, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        served = await open_served(load(settings.bundle), settings, Metrics())
        try:
            proof.check_memory(candidate, served)
            monkeypatch.setattr(proof, "available_bytes", lambda: 1 << 24)
            with refused("two bundles at a time need up to 32 MiB more memory, and 16 MiB are free"):
                proof.check_memory(candidate, served)
            monkeypatch.setattr(proof, "available_bytes", lambda: None)  # nobody can tell
            proof.check_memory(candidate, served)
            served.ensemble.device = "cuda"
            monkeypatch.setattr(proof, "device_memory", lambda: (9 << 30, 16 << 30))
            with refused("need up to 9216 MiB more memory, and 7168 MiB are free"):
                proof.check_memory(candidate, served)
            proof.check_memory(candidate, served, other=served)  # two have what is taken
            monkeypatch.setattr(proof, "device_memory", lambda: (2 << 30, 16 << 30))
            proof.check_memory(candidate, served)
        finally:
            await served.close()

    asyncio.run(scenario())


def test_another_process_runs_it_first(candidate: Bundle, settings: Settings, tmp_path: Path) -> None:
    asyncio.run(proof.check_apart(candidate, settings))
    wrong = make_bundle(tmp_path / "wrong", golden_shift=0.4)
    with refused("its check failed: .* probabilities are off by up to 0.4"):
        asyncio.run(proof.check_apart(wrong, settings))


@pytest.mark.parametrize("name", ["--help", "--version", "-x"])
def test_a_name_is_no_option_of_the_check(
    settings: Settings, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = make_bundle(Path(name), golden_shift=0.4)
    with refused("its check failed: .* probabilities are off by up to 0.4"):
        asyncio.run(proof.check_apart(wrong, settings))


def test_the_check_runs_no_code_from_the_folder_that_the_service_works_in(
    candidate: Bundle, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("service", "numpy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('run')")
    asyncio.run(proof.check_apart(candidate, settings))


def test_a_check_without_an_end_is_ended(
    candidate: Bundle, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[int] = []
    begin = asyncio.create_subprocess_exec

    async def noted(*command: str, **options: object) -> asyncio.subprocess.Process:
        process = await begin(*command, **options)  # type: ignore[arg-type]
        began.append(process.pid)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    monkeypatch.setattr(proof, "CHECK_S", 0.05)
    with refused("not done after 0.05 s"):
        asyncio.run(proof.check_apart(candidate, settings))
    with pytest.raises(ProcessLookupError):
        os.kill(began[0], 0)


def test_the_last_chips_are_answered_again(
    candidate: Bundle, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: fake)
    chip_HWC = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    yes, no = (Verdict([0.5] * 4, [0] * 4, [sure] * 4, 3) for sure in (True, False))  # the fake says yes

    async def scenario() -> None:
        served: Served = await open_served(
            candidate, settings.model_copy(update={"watchdog_s": 2}), Metrics()
        )
        compared = await proof.compare(served, [(chip_HWC, yes)] * 3 + [(chip_HWC, no)], 0.25)
        assert compared.told()["different"] == 1
        with refused("25.0% of its decisions on the last 4 chips differ, and 24.0% may"):
            await proof.compare(served, [(chip_HWC, yes)] * 3 + [(chip_HWC, no)], 0.24)
        fake.fail_next = RuntimeError("of no use")
        with refused("failed on one of the last 2 chips"):
            await proof.compare(served, [(chip_HWC, yes)] * 2, 1)
        assert (await proof.compare(served, [], 0)).share == 0
        fake.gate.clear()
        with refused("the last 2 chips took it 2 s"):
            await proof.compare(served, [(chip_HWC, yes)] * 2, 1)
        fake.gate.set()
        await served.engine.stop()

    asyncio.run(scenario())
