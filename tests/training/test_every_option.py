"""Every option of a member and of a run does something.

Shape suffixes: N chips, H height, W width, C bands, L labels.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.contract.bundle import Bundle
from service.contract.sensors import Band
from tests.kit import networks, stripes
from training.config.schema import About, DecisionConfig, MemberConfig, RunConfig
from training.data.dataset import input_spec, open_dataset, prepare
from training.data.out_of_fold import read_predictions
from training.decision.tune import tune
from training.export.export import export
from training.export.members import finished_member, plan_members
from training.export.parity import torch_answers
from training.fit.inputs import inputs_of
from training.fit.predict import logits_of, predict
from training.fit.task import FitTask
from training.network.loss import activation
from training.network.model import ChipNet, ExportNet
from training.run.folder import Run, Source

BANDS: tuple[Band, ...] = ("red", "green", "blue", "nir")
BASE = replace(
    stripes.WHOLE,
    architecture="test_resnet",
    name="base",
    size_px=stripes.SIZE_PX,
    epochs=2,
    batch_size=16,
    learning_rate=0.01,
)
NDVI = replace(BASE, indices=("ndvi",))
STEM = replace(BASE, freeze="stem")
STAGED = replace(BASE, freeze="staged", staged_epochs=1)
TRUNK = replace(BASE, freeze="trunk")

# field: the member without, and the member with.
MEMBER_CASES: dict[str, tuple[MemberConfig, MemberConfig]] = {
    "architecture": (BASE, replace(BASE, architecture="test_byobnet")),
    "name": (BASE, replace(BASE, name="another")),
    "size_px": (BASE, replace(BASE, size_px=80)),
    "bands": (BASE, replace(BASE, bands=("green", "red", "blue"))),
    "indices": (BASE, NDVI),
    "fusion": (NDVI, replace(NDVI, fusion="late")),
    "dehaze": (BASE, replace(BASE, dehaze=True)),
    "labels": (BASE, replace(BASE, labels=("blue", "red"))),
    "exclusive": (BASE, replace(BASE, exclusive=("blue", "red"))),
    "freeze": (BASE, STEM),
    "frozen_to": (STEM, replace(STEM, frozen_to="layer3")),
    "staged_epochs": (STAGED, replace(STAGED, staged_epochs=2)),
    "cached_views": (TRUNK, replace(TRUNK, cached_views=4)),
    "epochs": (BASE, replace(BASE, epochs=3)),
    "batch_size": (BASE, replace(BASE, batch_size=8)),
    "optimizer": (BASE, replace(BASE, optimizer="sgd")),
    "learning_rate": (BASE, replace(BASE, learning_rate=0.02)),
    "backbone_rate": (BASE, replace(BASE, backbone_rate=0.1)),
    "weight_decay": (BASE, replace(BASE, weight_decay=0.1)),
    "schedule": (BASE, replace(BASE, schedule="cosine")),
    "warmup_epochs": (BASE, replace(BASE, warmup_epochs=1)),
    "clip_norm": (replace(BASE, optimizer="sgd"), replace(BASE, optimizer="sgd", clip_norm=0.01)),
    "ema_decay": (BASE, replace(BASE, ema_decay=0.5)),
    "loss": (BASE, replace(BASE, loss="asymmetric")),
    "label_smoothing": (BASE, replace(BASE, label_smoothing=0.1)),
    "dropout": (BASE, replace(BASE, dropout=0.5)),
    "augmentation": (BASE, replace(BASE, augmentation="lossy")),
    "oversample": (BASE, replace(BASE, oversample=1.0)),
    "mixed_precision": (BASE, replace(BASE, mixed_precision=False)),
    "channels_last": (BASE, replace(BASE, channels_last=False)),
    "compile": (BASE, replace(BASE, compile=True)),
}
# Options with more than two values: each value differs from every other.
CHOICES: dict[str, list[MemberConfig]] = {
    "freeze": [replace(BASE, freeze=f) for f in ("none", "stem", "trunk", "backbone", "staged")],
    "optimizer": [replace(BASE, optimizer=o) for o in ("adam", "adamw", "sgd")],
    "loss": [replace(BASE, loss=o) for o in ("bce", "soft-f2", "asymmetric")],
    "augmentation": [replace(BASE, augmentation=a) for a in ("none", "views", "lossy")],
    "indices": [replace(BASE, indices=i) for i in ((), ("ndvi",), ("ndwi",))],
}
CHOICES["optimizer"] = [replace(member, weight_decay=0.1) for member in CHOICES["optimizer"]]


@dataclass(frozen=True)
class Outcome:
    """What can be told of a fitted member."""

    probs_NL: bytes
    state: dict[str, bytes]
    path: str
    layout: bool
    compiled: bool


class Fits:
    """Fits members, each once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        rgb = open_dataset(run)
        infrared_NHW1 = 255 - np.array(rgb.chips_NHWC[..., :1]) // 2
        self._dataset = replace(rgb, chips_NHWC=np.concatenate([rgb.chips_NHWC, infrared_NHW1], axis=3))
        self._known: dict[MemberConfig, Outcome] = {}

    def __call__(self, member: MemberConfig) -> Outcome:
        if member not in self._known:
            self._known[member] = self._outcome(member)
        return self._known[member]

    def _outcome(self, member: MemberConfig) -> Outcome:
        folder = self._run.folder.with_name(f"run{len(self._known)}")
        run = replace(stripes.copy_of(self._run, folder), config=replace(self._run.config, bands=BANDS))
        fitted: list[ChipNet] = []

        def noted(network: ChipNet, *args: Any) -> FitTask:  # noqa: ANN401
            fitted.append(network)
            return FitTask(network, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "compile", lambda function, **_: function)
            patch.setattr("training.fit.trainer.fast_bfloat16", lambda: True)
            patch.setattr("training.fit.fit.FitTask", noted)
            state = networks.fitted(run, member, self._dataset)
        inputs = inputs_of(run, member, self._dataset)
        logits_NL = logits_of(inputs.restored(state).eval(), inputs, np.arange(8), 1, "")
        probs_NL = activation(logits_NL, self._dataset.labels, member.exclusive)
        (network,) = fitted
        weight = next((v for v in network.parameters() if v.ndim == 4 and min(v.shape[1:]) > 1), None)
        return Outcome(
            probs_NL.numpy().tobytes(),
            {name: value.numpy().tobytes() for name, value in state.items()},
            run.fit_path(member.name, 0).relative_to(folder).as_posix(),
            weight is not None and weight.is_contiguous(memory_format=torch.channels_last),
            network._compiled_call_impl is not None,
        )


@pytest.fixture(scope="module")
def fits(tiny_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Fits:
    run = Run.start(tmp_path_factory.mktemp("options") / "run", stripes.CONFIG, tiny_source)
    prepare(run)
    return Fits(run)


@pytest.mark.parametrize("name", [field.name for field in fields(MemberConfig)])
def test_every_option_of_a_member_does_something(fits: Fits, name: str) -> None:
    without, changed = MEMBER_CASES[name]  # a new option needs a case
    names = (field.name for field in fields(MemberConfig))
    assert [n for n in names if getattr(without, n) != getattr(changed, n)] == [name]
    first, second = fits(without), fits(changed)
    match name:
        case "name":
            assert [first.path, second.path] == [f"fits/{n}/fold0.safetensors" for n in ("base", "another")]
            assert first.state == second.state
        case "channels_last":
            assert (first.layout, second.layout) == (True, False)
        case "compile":
            assert (first.compiled, second.compiled) == (False, True)
        case _:
            assert first.state != second.state
            assert first.probs_NL != second.probs_NL


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_of_an_option_is_another(fits: Fits, name: str) -> None:
    outcomes = [fits(member).probs_NL for member in CHOICES[name]]
    assert len(set(outcomes)) == len(outcomes)


def test_the_same_member_fits_the_same_again(fits: Fits) -> None:
    """Without this, any option would seem to do something."""
    assert fits._outcome(BASE) == fits(BASE)


def spec(run: Run) -> object:
    return input_spec(run)


def planned(run: Run) -> object:
    tuned = stripes.plain_vote(len(run.config.members), 0.0)
    return [(member.name, member.folds) for member in plan_members(run, tuned)]


def weights(run: Run) -> object:
    """What a fit keeps."""
    state = networks.fitted(run, replace(stripes.WHOLE, name="fresh", epochs=1), open_dataset(run))
    return {name: value.numpy().tobytes() for name, value in state.items()}


def predictions(run: Run) -> object:
    (run.folder / "out_of_fold.npz").unlink()
    predict(run)
    return read_predictions(run).probs_ANL.tobytes()


def decided(run: Run) -> object:
    tune(run)
    return (run.folder / "decision.json").read_bytes()


class _Stop(Exception):
    pass


def answers(run: Run) -> object:
    """What the network that is to be exported says."""
    nets: list[ExportNet] = []

    def keep(net: ExportNet, *_: object) -> None:
        nets.append(net)
        raise _Stop

    first, _ = plan_members(run, stripes.plain_vote(2, 0.5))
    dataset = open_dataset(run)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(_Stop):
        patch.setattr("training.export.graphs.write_float32", keep)
        finished_member(run, first, dataset)
    return torch_answers(nets[0], np.array(dataset.chips_NHWC[:4]))[0].tobytes()


def graphs(run: Run) -> object:
    """The first member's graphs, and on how many chips they were compared."""
    first, _ = plan_members(run, stripes.plain_vote(2, 1e-3))
    found = finished_member(run, first, open_dataset(run)).graphs
    return {precision: (graph.file.sha256, graph.check.chips) for precision, graph in found.items()}


def shown(run: Run) -> object:
    """The manifest."""
    return export(run, name="tiny", version="0.0.1").manifest


# field: another value, and what it changes.
RUN_CASES: dict[str, tuple[Any, Callable[[Run], object]]] = {
    "recipe": ("another", shown),
    "members": ((stripes.WHOLE, stripes.FROZEN), planned),
    "folds": (3, planned),
    "fold_members": ("separate", planned),
    "precisions": (("int8",), graphs),
    "bands": (("blue", "green", "red"), weights),
    "dtype": ("uint16", spec),
    "sensor": ("naip", spec),
    "file_bands": (("green", "red", "blue"), spec),
    "resolution_m": (0.3, spec),
    "nodata": (0.0, spec),
    "grey": (True, spec),
    "height_px": (80, spec),
    "width_px": (80, spec),
    "seed": (1, weights),
    "predict_views": (8, predictions),
    "graph_views": (8, answers),
    "decision": (DecisionConfig(prior=0.4, shrinkage=1.0), decided),
    "calibration_chips": (2, graphs),
    "check_chips": (8, graphs),
    "about": (About(description="Another."), shown),
    "max_steps": (1, weights),
}


@pytest.mark.parametrize("name", [field.name for field in fields(RunConfig)])
def test_every_option_of_a_run_does_something(
    name: str, trained: Run, exported: tuple[Run, Bundle], tmp_path: Path, quick_export: list[str]
) -> None:
    changed, look = RUN_CASES[name]  # a new option needs a case
    source = exported[0] if look is shown else trained
    first, second = stripes.copy_of(source, tmp_path / "first"), stripes.copy_of(source, tmp_path / "second")
    assert getattr(first.config, name) != changed
    option: dict[str, Any] = {name: changed}
    second = replace(second, config=replace(second.config, **option))
    assert look(first) != look(second)
