from pathlib import Path

import pytest
import torch

from training.fit.checkpoints import LAST, WholeCheckpoints, each_epoch


def test_a_checkpoint_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "fold0" / LAST
    checkpoints = WholeCheckpoints()
    checkpoints.save_checkpoint({"epoch": 1}, path)
    checkpoints.save_checkpoint({"epoch": 2}, path)
    assert checkpoints.load_checkpoint(path) == {"epoch": 2}
    assert [file.name for file in path.parent.iterdir()] == [LAST]


def test_the_former_one_survives_an_end_in_the_middle_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / LAST
    checkpoints = WholeCheckpoints()
    checkpoints.save_checkpoint({"epoch": 1}, path)
    beside: list[Path] = []

    def half(checkpoint: object, target: Path) -> None:
        beside.append(target)
        target.write_bytes(b"PK half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save_checkpoint({"epoch": 2}, path)
    assert beside[0].parent == path.parent  # the same disk: renaming is one step
    assert checkpoints.load_checkpoint(path) == {"epoch": 1}
    # After a real kill the half is still there, and in nobody's way.
    beside[0].write_bytes(b"PK half of it")
    checkpoints.save_checkpoint({"epoch": 3}, path)
    assert checkpoints.load_checkpoint(path) == {"epoch": 3}


def test_one_checkpoint_under_one_name(tmp_path: Path) -> None:
    callback = each_epoch(tmp_path)
    assert callback.format_checkpoint_name({}) == str(tmp_path / LAST)
