"""Shape suffixes: N chips, h, w, f map at the cut."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from tests.kit import networks, stripes
from training.data.dataset import Dataset, open_dataset
from training.fit.features import cached_features
from training.network.augmentation import VIEWS, view
from training.network.freezing import FrozenPart
from training.run.folder import Run


def test_features_are_the_frozen_backbones_of_every_view(trained: Run, tiny_dataset: Dataset) -> None:
    member = stripes.FROZEN
    net = networks.fresh_net(trained, member)
    views = cached_features(trained, member, tiny_dataset)
    assert len(views) == VIEWS
    chips_NHWC = torch.from_numpy(np.array(tiny_dataset.chips_NHWC))
    for index, found_Nhwf in enumerate(views):
        with torch.inference_mode():
            expected_Nf = net.feature_map(view(chips_NHWC, index)).mean(dim=(2, 3)).numpy()
        assert found_Nhwf.dtype == np.float16
        assert found_Nhwf.shape[1:3] == (1, 1)
        off_Nf = np.abs(found_Nhwf[:, 0, 0].astype(np.float32) - expected_Nf)
        assert off_Nf.max() <= 0.03 * np.abs(expected_Nf).max()  # bfloat16 has 8 bits
        assert all((found_Nhwf != other_Nhwf).any() for other_Nhwf in views[:index])


def test_features_of_two_backbones_are_never_mixed(prepared: Run, tmp_path: Path) -> None:
    dataset = open_dataset(prepared)
    cached_features(prepared, stripes.FROZEN, dataset)
    (prepared.folder / "features" / stripes.FROZEN.name / "view5.npy").unlink()
    other = networks.write_weights(tmp_path / "other", seed=1)
    changed = replace(prepared, source=replace(prepared.source, weights=other))
    with pytest.raises(ValueError, match="test_resnet's ImageNet weights have changed"):
        cached_features(changed, stripes.FROZEN, dataset)


def test_views_on_disk_are_not_computed_again(prepared: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "training")
    dataset = open_dataset(prepared)
    first = cached_features(prepared, stripes.FROZEN, dataset)
    folder = prepared.folder / "features" / stripes.FROZEN.name
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    assert kept.keys() == {f"view{index}.npy" for index in range(VIEWS)}
    expected_Nhwf = np.array(first[3])
    (folder / "view3.npy").unlink()
    again = cached_features(prepared, stripes.FROZEN, dataset)
    assert "features of 1 views" in caplog.text
    np.testing.assert_array_equal(again[3], expected_Nhwf)
    for path in folder.glob("*.npy"):
        assert (path.stat().st_mtime_ns == kept[path.name]) == (path.name != "view3.npy")


@pytest.mark.parametrize("freeze", ["backbone", "trunk"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_either_way_to_compute_them_gives_the_same(
    prepared: Run, monkeypatch: pytest.MonkeyPatch, freeze: Literal["backbone", "trunk"], bfloat16: bool
) -> None:
    """A CPU without bfloat16 takes ONNX Runtime; here every processor is made to try both."""
    monkeypatch.setattr("training.fit.features.fast_bfloat16", lambda: bfloat16)
    monkeypatch.setattr("training.fit.features.WORTH_EXPORT", 0)
    member = replace(stripes.FROZEN, freeze=freeze, cached_views=4)
    dataset = open_dataset(prepared)
    views = cached_features(prepared, member, dataset)
    assert len(views) == 4
    frozen = FrozenPart(networks.fresh_net(prepared, member), member).eval()
    with torch.inference_mode():
        chips_NHWC = view(torch.from_numpy(np.array(dataset.chips_NHWC)), 2)
        expected_Nhwf = frozen(chips_NHWC).permute(0, 2, 3, 1).numpy()
    # bfloat16 has 8 bits, float16 11.
    tolerance = 0.03 if bfloat16 else 0.001
    assert (
        np.abs(views[2].astype(np.float32) - expected_Nhwf).max() <= tolerance * np.abs(expected_Nhwf).max()
    )
