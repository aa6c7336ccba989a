"""Shape suffixes: B chips, H height, W width, C bands, F features, L labels."""

import numpy as np
import pytest
import torch

from tests.training import tiny
from training.augmentation import VIEWS, view
from training.dataset import Dataset
from training.features import cached_features
from training.inputs import ChipInputs, FeatureInputs, Inputs, inputs_of
from training.model import ChipNet
from training.workspace import Run

ROWS = np.array([5, 0, 9, 9])


@pytest.fixture(params=[tiny.FROZEN, tiny.WHOLE], ids=lambda member: member.freeze)
def inputs(request: pytest.FixtureRequest, evaluated: Run, tiny_dataset: Dataset) -> Inputs:
    return inputs_of(evaluated, request.param, tiny_dataset)


def test_the_freezing_decides_what_is_seen(evaluated: Run, tiny_dataset: Dataset) -> None:
    assert isinstance(inputs_of(evaluated, tiny.FROZEN, tiny_dataset), FeatureInputs)
    whole = inputs_of(evaluated, tiny.WHOLE, tiny_dataset)
    assert isinstance(whole, ChipInputs)
    assert isinstance(whole.network(ROWS), ChipNet)


def test_a_fresh_network_starts_from_the_pretrained_weights_at_the_prevalence(
    inputs: Inputs, tiny_dataset: Dataset
) -> None:
    network = inputs.network(np.arange(len(tiny_dataset))).eval()
    with torch.inference_mode():
        probs_BL = torch.sigmoid(network(inputs.batch(ROWS)))
    share_L = torch.from_numpy(tiny_dataset.targets_NL.mean(axis=0)).float()
    torch.testing.assert_close(probs_BL, share_L.expand(4, -1), rtol=0, atol=0.01)


def test_what_is_kept_restores_the_network(inputs: Inputs) -> None:
    network = inputs.network(ROWS).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
        state = {name: value.clone() for name, value in inputs.state(network).items()}
        restored = inputs.restored(state).eval()
        torch.testing.assert_close(restored(inputs.batch(ROWS)), network(inputs.batch(ROWS)))
    assert {"head.weight", "head.bias"} <= set(state)


def test_both_kinds_keep_a_networks_own_names(evaluated: Run, tiny_dataset: Dataset) -> None:
    for member in tiny.CONFIG.members:
        kept = inputs_of(evaluated, member, tiny_dataset)
        net = ChipNet(member.architecture, labels=4, size_px=member.size_px, pretrained=False)
        result = net.load_state_dict(kept.state(kept.network(ROWS)), strict=member.freeze == "none")
        assert not result.unexpected_keys


def test_a_batch_is_the_chips_or_one_view_of_each(evaluated: Run, tiny_dataset: Dataset) -> None:
    chips = ChipInputs(evaluated, tiny.WHOLE, tiny_dataset)
    chips_BHWC = torch.from_numpy(tiny_dataset.chips_NHWC[ROWS])
    assert torch.equal(chips.batch(ROWS), chips_BHWC)
    seen_BHWC = chips.batch(ROWS, torch.Generator().manual_seed(0))
    features = FeatureInputs(evaluated, tiny.FROZEN, tiny_dataset)
    views = cached_features(evaluated, tiny.FROZEN, tiny_dataset)
    assert torch.equal(features.batch(ROWS), torch.from_numpy(views[0][ROWS]).float())
    seen_BF = features.batch(ROWS, torch.Generator().manual_seed(0))
    for index, row in enumerate(ROWS):
        one_BHWC = chips_BHWC[index : index + 1]
        assert any(torch.equal(seen_BHWC[index], view(one_BHWC, turn)[0]) for turn in range(VIEWS))
        assert any(np.array_equal(seen_BF[index].numpy(), views[turn][row]) for turn in range(VIEWS))


def test_training_sees_all_eight_views(inputs: Inputs) -> None:
    generator = torch.Generator().manual_seed(0)
    seen = {inputs.batch(ROWS[:1], generator).numpy().tobytes() for _ in range(100)}
    assert len(seen) == VIEWS
