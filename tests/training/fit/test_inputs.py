"""Shape suffixes: B chips, H height, W width, C bands, L labels, h, w, f map at the cut."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.kit import networks, stripes
from training.data.dataset import Dataset
from training.fit.features import cached_features
from training.fit.inputs import ChipInputs, FrozenInputs, Inputs, Rows, inputs_of
from training.network.augmentation import VIEWS, view
from training.network.model import ChipNet
from training.run.folder import Run

ROWS = np.array([5, 0, 9, 9])


def trained_on(inputs: Inputs, rows: Rows, generator: torch.Generator) -> torch.Tensor:
    """A training batch with all of its augmentation."""
    return inputs.augment(inputs.drawn(rows, generator), generator)


@pytest.fixture(params=[stripes.FROZEN, stripes.WHOLE], ids=lambda member: member.freeze)
def inputs(request: pytest.FixtureRequest, trained: Run, tiny_dataset: Dataset) -> Inputs:
    return inputs_of(trained, request.param, tiny_dataset)


def test_the_freezing_decides_what_is_seen(trained: Run, tiny_dataset: Dataset) -> None:
    assert isinstance(inputs_of(trained, stripes.FROZEN, tiny_dataset), FrozenInputs)
    whole = inputs_of(trained, stripes.WHOLE, tiny_dataset)
    assert isinstance(whole, ChipInputs)
    assert isinstance(whole.network(ROWS), ChipNet)


def test_a_fresh_network_starts_from_the_pretrained_weights_at_the_prevalence(
    inputs: Inputs, tiny_dataset: Dataset
) -> None:
    network = inputs.network(np.arange(len(tiny_dataset))).eval()
    with torch.inference_mode():
        probs_BL = torch.sigmoid(network(inputs.seen(ROWS, 0)))
    share_L = torch.from_numpy(tiny_dataset.targets_NL.mean(axis=0)).float()
    torch.testing.assert_close(probs_BL, share_L.expand(4, -1), rtol=0, atol=0.01)


def test_what_is_kept_restores_the_network(inputs: Inputs) -> None:
    network = inputs.network(ROWS).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
        state = {name: value.clone() for name, value in network.state_dict().items()}
        restored = inputs.restored(state).eval()
        torch.testing.assert_close(restored(inputs.seen(ROWS, 3)), network(inputs.seen(ROWS, 3)))
    assert {"head.weight", "head.bias"} <= set(state)


def test_both_kinds_keep_a_networks_own_names(trained: Run, tiny_dataset: Dataset) -> None:
    for member in stripes.CONFIG.members:
        kept = inputs_of(trained, member, tiny_dataset)
        net = networks.fresh_net(trained, member)
        result = net.load_state_dict(kept.network(ROWS).state_dict(), strict=member.freeze == "none")
        assert not result.unexpected_keys


def test_a_network_sees_the_chips_or_their_features_in_the_asked_view(
    trained: Run, tiny_dataset: Dataset
) -> None:
    chips = ChipInputs(trained, stripes.WHOLE, tiny_dataset)
    chips_BHWC = torch.from_numpy(tiny_dataset.chips_NHWC[ROWS])
    frozen = FrozenInputs(trained, stripes.FROZEN, tiny_dataset)
    views = cached_features(trained, stripes.FROZEN, tiny_dataset)
    for index in range(VIEWS):
        assert torch.equal(chips.seen(ROWS, index), view(chips_BHWC, index))
        map_Bfhw = frozen.seen(ROWS, index)
        assert map_Bfhw.dtype == torch.float32
        np.testing.assert_array_equal(map_Bfhw.permute(0, 2, 3, 1).numpy(), views[index][ROWS])


def test_a_training_batch_is_one_view_of_each_chip(trained: Run, tiny_dataset: Dataset) -> None:
    for kind, member in ((ChipInputs, stripes.WHOLE), (FrozenInputs, stripes.FROZEN)):
        inputs = kind(trained, member, tiny_dataset)
        batch = trained_on(inputs, ROWS, torch.Generator().manual_seed(0))
        views = [inputs.seen(ROWS, index) for index in range(VIEWS)]
        for place in range(len(ROWS)):
            assert any(torch.equal(batch[place], seen[place]) for seen in views)


def test_training_sees_all_eight_views(inputs: Inputs) -> None:
    generator = torch.Generator().manual_seed(0)
    seen = {trained_on(inputs, ROWS[:1], generator).numpy().tobytes() for _ in range(100)}
    assert len(seen) == VIEWS


def test_without_augmentation_training_sees_the_chips_as_they_are(
    trained: Run, tiny_dataset: Dataset
) -> None:
    generator = torch.Generator().manual_seed(0)
    for member in stripes.CONFIG.members:
        inputs = inputs_of(trained, replace(member, augmentation="none"), tiny_dataset)
        assert torch.equal(trained_on(inputs, ROWS, generator), inputs.seen(ROWS, 0))


def test_lossy_augmentation_gives_every_chip_new_pixels_but_needs_chips(
    trained: Run, tiny_dataset: Dataset
) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = inputs_of(trained, replace(stripes.WHOLE, augmentation="lossy"), tiny_dataset)
    batch_BHWC = trained_on(inputs, ROWS, generator)
    assert batch_BHWC.shape == inputs.seen(ROWS, 0).shape
    for index in range(VIEWS):
        assert all((batch_BHWC[n] != inputs.seen(ROWS, index)[n]).any() for n in range(len(ROWS)))
    with pytest.raises(ValueError, match="test_resnet: freeze='backbone' works on cached views"):
        inputs_of(trained, replace(stripes.FROZEN, augmentation="lossy"), tiny_dataset)
