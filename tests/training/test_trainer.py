from dataclasses import replace
from pathlib import Path

import lightning
import torch

from tests.training import tiny
from training.batches import Batches, BatchStream
from training.checkpoints import each_epoch
from training.dataset import prepare
from training.inputs import ChipInputs
from training.task import FitTask
from training.trainer import ready, train, trainer_of
from training.workspace import Run, Source

AVERAGED = replace(tiny.WHOLE, epochs=2, ema_decay=0.9)


def fitted(run: Run, checkpoints: Path) -> dict[str, torch.Tensor]:
    dataset = prepare(run)
    inputs = ChipInputs(run, AVERAGED, dataset)
    lightning.seed_everything(0, verbose=False)
    rows = (dataset.folds_N != 0).nonzero()[0]
    stream = BatchStream(inputs, rows, dataset, AVERAGED.batch_size)
    task = FitTask(ready(inputs.network(rows), AVERAGED), AVERAGED, dataset.labels, len(stream))
    trainer = trainer_of(run.config, AVERAGED, [each_epoch(checkpoints)])
    train(trainer, task, Batches(stream, inputs, 0), checkpoints)
    return task.network.state_dict()


def test_a_fit_interrupted_after_its_last_epoch_still_ends_with_the_average(
    tiny_source: Source, tmp_path: Path
) -> None:
    run = Run.start(tmp_path / "run", replace(tiny.ONE_WHOLE, members=(AVERAGED,)), tiny_source)
    first, second = (fitted(run, tmp_path / "checkpoints") for _ in range(2))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
