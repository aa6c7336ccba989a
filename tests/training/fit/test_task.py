"""Shape suffixes: B chips, F features, L labels."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from tests.kit import networks, stripes
from training.config.schema import MemberConfig
from training.data.dataset import Dataset, open_dataset
from training.fit.batches import Batch
from training.fit.inputs import ChipInputs, inputs_of
from training.fit.task import FitTask, rate_factor
from training.network.model import ChipNet
from training.run.folder import Run

WHOLE = replace(stripes.WHOLE, size_px=stripes.SIZE_PX, learning_rate=0.01)
ROWS = np.arange(8)
STEPS_PER_EPOCH = 4
PLAIN: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda rest, head: torch.optim.Adam([*rest, *head], lr=0.01, weight_decay=0.1),
    "adamw": lambda rest, head: torch.optim.AdamW([*rest, *head], lr=0.01, weight_decay=0.1),
    "sgd": lambda rest, head: torch.optim.SGD(
        [*rest, *head], lr=0.01, weight_decay=0.1, momentum=0.9, nesterov=True
    ),
    "half": lambda rest, head: torch.optim.Adam([{"params": rest, "lr": 0.005}, {"params": head}], lr=0.01),
}


def task_of(run: Run, dataset: Dataset, member: MemberConfig) -> FitTask:
    torch.manual_seed(0)
    network = inputs_of(run, member, dataset).network(ROWS)
    torch.nn.init.normal_(network.head.weight, std=0.1)  # at 0, the backbone would have no gradient yet
    return FitTask(network, member, dataset.labels, STEPS_PER_EPOCH)


def batch_of(run: Run, dataset: Dataset, member: MemberConfig) -> Batch:
    targets_BL = torch.from_numpy(dataset.targets_NL[ROWS]).float()
    return Batch(inputs_of(run, member, dataset).seen(ROWS, 0), targets_BL, 0)


def configured(task: FitTask) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    found: Any = task.configure_optimizers()
    assert found["lr_scheduler"]["interval"] == "step"
    return found["optimizer"], found["lr_scheduler"]["scheduler"]


@pytest.mark.parametrize("member", stripes.CONFIG.members, ids=lambda member: member.freeze)
def test_the_loss_is_the_mean_binary_cross_entropy(
    trained: Run, tiny_dataset: Dataset, member: MemberConfig
) -> None:
    task, batch = task_of(trained, tiny_dataset, member), batch_of(trained, tiny_dataset, member)
    task.network.eval()
    probs_BL = torch.sigmoid(task.network(batch.inputs))
    targets_BL = batch.targets_BL
    expected = -(targets_BL * probs_BL.log() + (1 - targets_BL) * (1 - probs_BL).log()).mean()
    torch.testing.assert_close(task.training_step(batch, 0), expected)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("adam", replace(WHOLE, weight_decay=0.1)),
        ("adamw", replace(WHOLE, weight_decay=0.1, optimizer="adamw")),
        ("sgd", replace(WHOLE, weight_decay=0.1, optimizer="sgd")),
        ("half", replace(WHOLE, backbone_rate=0.5)),
    ],
)
def test_steps_are_those_of_the_textbook_optimizer(
    trained: Run, tiny_dataset: Dataset, name: str, member: MemberConfig
) -> None:
    batch = batch_of(trained, tiny_dataset, member)
    ours, reference = (task_of(trained, tiny_dataset, member) for _ in range(2))
    head, rest = list(reference.network.head.parameters()), list(reference.network.backbone.parameters())
    steps = ((ours, configured(ours)[0]), (reference, PLAIN[name](rest, head)))
    for task, optimizer in steps:
        for _ in range(2):
            optimizer.zero_grad()
            logits_BL = task.network.train()(batch.inputs)
            binary_cross_entropy_with_logits(logits_BL, batch.targets_BL).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    start = task_of(trained, tiny_dataset, member).network.state_dict()
    expected = reference.network.state_dict()
    for key, value in ours.network.state_dict().items():
        torch.testing.assert_close(value, expected[key])
        assert not torch.equal(value, start[key])


@pytest.mark.parametrize("kind", ["step", "cosine"])
def test_the_rates_follow_the_schedule_step_by_step(
    trained: Run, tiny_dataset: Dataset, kind: Literal["step", "cosine"]
) -> None:
    member = replace(WHOLE, epochs=3, schedule=kind, warmup_epochs=1, backbone_rate=0.5)
    optimizer, schedule = configured(task_of(trained, tiny_dataset, member))
    for step in range(3 * STEPS_PER_EPOCH):
        factor = rate_factor(kind, step / STEPS_PER_EPOCH, 3, 1)
        head, rest = (group["lr"] for group in optimizer.param_groups)
        assert (head, rest) == pytest.approx((0.01 * factor, 0.005 * factor))
        optimizer.step()
        schedule.step()


class Watch(lightning.Callback):
    """What a fit looks like from inside, step by step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []
        self.norms: list[float] = []
        self.dtypes: set[torch.dtype] = set()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        network = pl_module.network
        assert isinstance(network, ChipNet)
        network.head.register_forward_hook(lambda _module, _inputs, found: self.dtypes.add(found.dtype))
        self.network = network
        self._keep()

    def on_train_batch_end(self, *args: object) -> None:
        self._keep()
        gradients = [value.grad for value in self.network.parameters() if value.grad is not None]
        self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    def _keep(self) -> None:
        self.weights.append({name: value.clone() for name, value in self.network.state_dict().items()})


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watches the fits of a test."""
    found = Watch()
    original = lightning.Trainer

    def watched(*args: Any, callbacks: list[lightning.Callback], **kwargs: Any) -> lightning.Trainer:  # noqa: ANN401
        return original(*args, callbacks=[*callbacks, found], **kwargs)

    monkeypatch.setattr(lightning, "Trainer", watched)
    yield found


def short(run: Run, steps: int) -> Run:
    return replace(run, config=replace(run.config, max_steps=steps))


def test_averaged_weights_are_the_exponential_moving_average(prepared: Run, watch: Watch) -> None:
    """The average starts at the first result: average ← decay·average + (1 - decay)·weights."""
    member = replace(WHOLE, ema_decay=0.6)
    state = networks.fitted(short(prepared, 4), member, open_dataset(prepared))
    first, *later = watch.weights[1:5]
    expected = {name: value for name, value in first.items() if value.is_floating_point()}
    for weights in later:
        expected = {name: 0.6 * mean + 0.4 * weights[name] for name, mean in expected.items()}
    for name, mean in expected.items():
        torch.testing.assert_close(state[name], mean, msg=name)
    assert not torch.allclose(state["head.weight"], later[-1]["head.weight"])


def test_averaging_survives_an_interruption(
    prepared: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(prepared)
    member = replace(WHOLE, ema_decay=0.6, epochs=3, batch_size=16)
    again = stripes.copy_of(prepared, tmp_path / "again")
    expected = networks.fitted(prepared, member, dataset)
    original, batches = ChipInputs.drawn, 0

    def drawn(self: ChipInputs, *args: Any) -> torch.Tensor:  # noqa: ANN401
        nonlocal batches
        batches += 1
        if batches == 4:  # within the second epoch of two batches
            raise OSError
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(ChipInputs, "drawn", drawn)
        with pytest.raises(OSError):
            networks.fitted(again, member, dataset)
    state = networks.fitted(again, member, dataset)
    assert [name for name in state if not torch.equal(state[name], expected[name])] == []


def test_a_gradient_is_no_longer_than_its_limit(prepared: Run, watch: Watch) -> None:
    dataset = open_dataset(prepared)
    networks.fitted(short(prepared, 2), replace(WHOLE, name="free"), dataset)
    assert min(watch.norms) > 0.02
    watch.norms.clear()
    networks.fitted(short(prepared, 2), replace(WHOLE, name="clipped", clip_norm=0.02), dataset)
    assert watch.norms == pytest.approx([0.02, 0.02], rel=1e-3)


@pytest.mark.parametrize("freeze", ["none", "trunk"])
def test_without_mixed_precision_all_is_float32(
    prepared: Run, watch: Watch, monkeypatch: pytest.MonkeyPatch, freeze: Literal["none", "trunk"]
) -> None:
    monkeypatch.setattr("training.fit.trainer.fast_bfloat16", lambda: True)
    monkeypatch.setattr("training.fit.features.fast_bfloat16", lambda: True)
    dataset, run = open_dataset(prepared), short(prepared, 1)
    for mixed, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        watch.dtypes.clear()
        member = replace(WHOLE, name=str(dtype), freeze=freeze, mixed_precision=mixed)
        networks.fitted(run, member, dataset)
        assert watch.dtypes == {dtype}


def test_channels_last_is_how_convolutions_lie_in_memory(prepared: Run, watch: Watch) -> None:
    dataset, run = open_dataset(prepared), short(prepared, 1)
    for wanted in (True, False):
        state = networks.fitted(run, replace(WHOLE, name=str(wanted), channels_last=wanted), dataset)
        weight = next(v for v in watch.network.parameters() if v.ndim == 4 and min(v.shape[1:]) > 1)
        assert weight.is_contiguous(memory_format=torch.channels_last) == wanted
        assert all(value.is_contiguous() for value in state.values())


def test_compile_compiles_the_network_and_keeps_its_names(
    prepared: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def compiled(function: Callable[..., object], **_: object) -> Callable[..., object]:
        def counted(*args: object) -> object:
            calls.append(function)
            return function(*args)

        return counted

    monkeypatch.setattr(torch, "compile", compiled)
    dataset, run = open_dataset(prepared), short(prepared, 1)
    plain = networks.fitted(run, replace(WHOLE, name="plain"), dataset)
    assert calls == []
    state = networks.fitted(run, replace(WHOLE, name="compiled", compile=True), dataset)
    assert len(calls) == 1
    assert state.keys() == plain.keys()
    assert all(torch.equal(state[name], plain[name]) for name in state)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_zeroes_a_share_of_the_pooled_features_in_training_alone(
    trained: Run, tiny_dataset: Dataset, dropout: float
) -> None:
    member = replace(WHOLE, dropout=dropout)
    network = task_of(trained, tiny_dataset, member).network
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    network.dropout.register_forward_hook(lambda _module, given, found: seen.append((given[0], found)))
    batch = batch_of(trained, tiny_dataset, member)
    with torch.inference_mode():
        network.train()(batch.inputs)
        network.eval()(batch.inputs)
    (pooled_BF, dropped_BF), (served_BF, same_BF) = seen
    assert torch.equal(served_BF, same_BF)
    kept_BF = dropped_BF != 0
    torch.testing.assert_close(dropped_BF[kept_BF], pooled_BF[kept_BF] / (1 - dropout))
    gone = (~kept_BF[pooled_BF != 0]).float().mean().item()
    assert gone == pytest.approx(dropout, abs=0.06)
