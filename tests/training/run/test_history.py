from pathlib import Path

import numpy as np
import pytest

from tests.kit import stripes
from training.run.folder import Run, Source
from training.run.history import read_logs

HEAD = "epoch,loss,learning_rate,images_per_s,data_share\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.start(tmp_path, stripes.CONFIG, Source(data=tmp_path))


def write(run: Run, member: str, fold: int, text: str) -> None:
    path = run.folder / "fits" / member / f"fold{fold}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_logs_that_are_there_are_read_by_column(run: Run) -> None:
    assert read_logs(run) == {}
    write(run, "test_byobnet", 1, HEAD + "0,0.5,0.1,100,0.25\n1,0.25,1e-2,120.5,0\n")
    logs = read_logs(run)
    assert {member: list(folds) for member, folds in logs.items()} == {"test_byobnet": [1]}
    log = logs["test_byobnet"][1]
    np.testing.assert_array_equal(log.epoch, [0, 1])
    np.testing.assert_array_equal(log.loss, [0.5, 0.25])
    np.testing.assert_array_equal(log.learning_rate, [0.1, 0.01])
    np.testing.assert_array_equal(log.images_per_s, [100, 120.5])
    np.testing.assert_array_equal(log.data_share, [0.25, 0])


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (HEAD, "data_share, epoch, images_per_s, learning_rate, loss"),
        ("epoch,loss\n0,1\n", "data_share, images_per_s, learning_rate"),
    ],
)
def test_a_log_without_rows_or_columns_is_refused(run: Run, text: str, missing: str) -> None:
    write(run, "test_resnet", 0, text)
    with pytest.raises(ValueError, match=rf"fold0.csv: has no {missing}; remove the file or fit again"):
        read_logs(run)
