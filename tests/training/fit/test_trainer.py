import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from tests.kit import networks, stripes
from training.config.schema import MemberConfig
from training.data.dataset import open_dataset
from training.fit.batches import Batch, Batches, BatchStream
from training.fit.checkpoints import WholeCheckpoints, each_epoch
from training.fit.inputs import ChipInputs
from training.fit.task import FitTask
from training.fit.trainer import learns_deep, ready, train, trainer_of
from training.run.folder import Run

CONFIG = stripes.CONFIG


def trained(
    run: Run, member: MemberConfig, steps: int | None = None, checkpoints: Path | None = None
) -> FitTask:
    """Train a network on the first chips for one epoch, or so many steps."""
    dataset = open_dataset(run)
    inputs, rows = ChipInputs(run, member, dataset), np.arange(24)
    stream = BatchStream(inputs, rows, dataset, member.batch_size)
    torch.manual_seed(0)
    task = FitTask(ready(inputs.network(rows), member), member, dataset.labels, len(stream))
    callbacks = [each_epoch(checkpoints)] if checkpoints else []
    train(trainer_of(run.config, member, callbacks, steps), task, Batches(stream, inputs, 1), checkpoints)
    return task


def head_of(task: FitTask) -> torch.Tensor:
    return task.network.head.weight.detach()


def test_only_a_head_alone_needs_no_checkpoints() -> None:
    assert [learns_deep(replace(stripes.WHOLE, freeze=f)) for f in ("none", "trunk", "backbone")] == [1, 1, 0]


def test_the_network_lies_in_memory_as_asked(prepared: Run) -> None:
    for wanted in (True, False):
        member = replace(stripes.WHOLE, channels_last=wanted)
        weight = ready(networks.fresh_net(prepared, member), member).backbone.get_parameter(
            "net.stem.conv.weight"
        )
        assert weight.is_contiguous(memory_format=torch.channels_last) == wanted


def test_a_trainer_does_what_the_member_says() -> None:
    plain = trainer_of(CONFIG, replace(stripes.WHOLE, mixed_precision=False), [])
    assert (plain.max_epochs, plain.max_steps, plain.precision) == (6, -1, "32-true")
    assert plain.gradient_clip_val is None
    assert isinstance(plain.strategy.checkpoint_io, WholeCheckpoints)
    assert not any(isinstance(c, EMAWeightAveraging) for c in plain.callbacks)  # type: ignore[attr-defined]
    member = replace(stripes.WHOLE, clip_norm=0.5, ema_decay=0.9)
    asked = trainer_of(replace(CONFIG, max_steps=7), member, [])
    assert (asked.max_steps, asked.gradient_clip_val) == (7, 0.5)
    assert any(isinstance(c, EMAWeightAveraging) for c in asked.callbacks)  # type: ignore[attr-defined]
    assert trainer_of(replace(CONFIG, max_steps=7), member, [], max_steps=3).max_steps == 3


def test_mixed_precision_is_for_devices_that_compute_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr("training.fit.trainer.fast_bfloat16", lambda fast=fast: fast)
        assert trainer_of(CONFIG, stripes.WHOLE, []).precision == precision
        assert trainer_of(CONFIG, replace(stripes.WHOLE, mixed_precision=False), []).precision == "32-true"


def test_dropout_depends_on_the_batch_alone(prepared: Run, tmp_path: Path) -> None:
    member = replace(stripes.WHOLE, epochs=2, dropout=0.5)
    undisturbed = trained(prepared, member)
    trained(prepared, member, steps=3, checkpoints=tmp_path / "fold0")  # one epoch
    torch.manual_seed(99)  # another process has drawn other numbers
    resumed = trained(prepared, member, checkpoints=tmp_path / "fold0")
    assert not torch.equal(head_of(undisturbed), head_of(trained(prepared, replace(member, dropout=0.0))))
    assert torch.equal(head_of(undisturbed), head_of(resumed))


def test_steps_end_a_fit_early_and_the_thread_with_it(prepared: Run) -> None:
    seen: list[Batch] = []
    original = FitTask.training_step
    with pytest.MonkeyPatch.context() as patch:

        def step(self: FitTask, batch: Batch, batch_index: int) -> torch.Tensor:
            seen.append(batch)
            return original(self, batch, batch_index)

        patch.setattr(FitTask, "training_step", step)
        trained(prepared, stripes.WHOLE, steps=2)
    assert [len(batch.targets_BL) for batch in seen] == [8, 8]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_a_fit_interrupted_after_its_last_epoch_still_ends_with_the_average(
    prepared: Run, tmp_path: Path
) -> None:
    averaged = replace(stripes.WHOLE, epochs=2, ema_decay=0.9)
    first, second = (
        trained(prepared, averaged, checkpoints=tmp_path / "checkpoints").network.state_dict()
        for _ in range(2)
    )
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
