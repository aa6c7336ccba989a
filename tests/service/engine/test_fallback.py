"""Which way to run a bundle is taken, and what is said where none works."""

import logging
from pathlib import Path

import pytest

from service.contract.errors import DeviceError, WrongAnswers
from service.engine.fallback import open_ensemble
from service.engine.placement import Rung, place
from service.engine.sessions import Gpu
from service.settings import Settings
from tests.kit.fakes import make_bundle
from tests.kit.serving import serving


@pytest.fixture(autouse=True)
def likeliest_is_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fastest is measured otherwise, and chance on graphs this small."""
    monkeypatch.setattr("service.engine.placement.fastest", lambda candidates, *_: (candidates[0], {}))


def test_a_precision_that_is_wrong_here_gives_way_to_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = make_bundle(tmp_path, precisions=["int8", "float32"], wrong=["int8"])
    with caplog.at_level(logging.WARNING, "chipvote"):
        ensemble = open_ensemble(loaded, Settings(bundle=tmp_path, device="cpu"))
    assert ensemble.precision == "float32"
    assert "at int8, 0 of 16 golden decisions differ" in caplog.text
    with serving(Settings(bundle=tmp_path, device="cpu")) as client:
        card = client.get("/model").json()
    assert card["precision"] == "float32"
    (passed_over,) = card["passed_over"]
    assert (passed_over["device"], passed_over["precision"]) == ("cpu", "int8")
    assert passed_over["reason"].startswith("golden.npz: ")  # and not where that lies


def test_what_is_right_at_once_passes_nothing_over(tmp_path: Path) -> None:
    loaded = make_bundle(tmp_path, precisions=["int8", "float32"])
    assert open_ensemble(loaded, Settings(bundle=tmp_path, device="cpu")).passed_over == {}


def test_without_a_precision_that_is_right_it_refuses_and_names_each(tmp_path: Path) -> None:
    loaded = make_bundle(tmp_path, precisions=["int8", "float32"], wrong=["int8", "float32"])
    with pytest.raises(WrongAnswers, match=r"at int8.*at float32") as refused:
        open_ensemble(loaded, Settings(bundle=tmp_path, device="cpu"))
    assert str(refused.value).endswith(": export the bundle again on this kind of machine")


def test_a_precision_that_was_asked_for_is_not_replaced(tmp_path: Path) -> None:
    loaded = make_bundle(tmp_path, precisions=["int8", "float32"], wrong=["int8"])
    advice = r"set CHIPVOTE_PRECISION=auto \(the bundle also has float32\), or export the bundle again"
    with pytest.raises(WrongAnswers, match=advice):
        open_ensemble(loaded, Settings(bundle=tmp_path, device="cpu", precision="int8"))
    alone = make_bundle(tmp_path / "alone", precisions=["int8"], wrong=["int8"])
    with pytest.raises(WrongAnswers) as refused:
        open_ensemble(alone, Settings(bundle=alone.folder, device="cpu"))
    assert "CHIPVOTE_PRECISION" not in str(refused.value)


def test_a_device_that_does_not_come_up_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise DeviceError("no driver")

    monkeypatch.setattr("service.engine.placement.require_cuda", refuse)
    with pytest.raises(DeviceError, match="no driver"):
        open_ensemble(make_bundle(tmp_path), Settings(bundle=tmp_path, device="cuda"))


def test_a_rung_is_passed_over_on_its_own_device_alone(tmp_path: Path) -> None:
    loaded = make_bundle(tmp_path)
    placed = place(loaded, "cpu", "auto", 1, Gpu(), [Rung("cuda", "float32")])
    assert (placed.device, placed.precision) == ("cpu", "float32")
    with pytest.raises(DeviceError, match="no precision that is left"):
        place(loaded, "cpu", "auto", 1, Gpu(), [Rung("cpu", "float32")])
