"""Shape suffixes: B chips, H height, W width, C bands."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.kit import networks, stripes
from training.config.schema import MemberConfig
from training.data.dataset import Dataset, open_dataset
from training.export.parity import torch_answers
from training.fit.features import cached_features
from training.fit.inputs import inputs_of
from training.network.freezing import FrozenPart, check_cut, freeze, learning_part
from training.network.model import ChipNet, member_net
from training.run.folder import Run

WHOLE = replace(stripes.WHOLE, architecture="test_resnet", size_px=stripes.SIZE_PX, epochs=1, batch_size=16)
STEM = replace(WHOLE, name="stem", freeze="stem")
TRUNK = replace(WHOLE, name="trunk", freeze="trunk")
STAGED = replace(WHOLE, name="staged", freeze="staged", staged_epochs=1, epochs=2)
PARTS = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]


def chips_of(dataset: Dataset, count: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.array(dataset.chips_NHWC[:count]))


def learning(net: ChipNet) -> set[str]:
    """Top-level parts with a gradient."""
    names = (name for name, value in net.named_parameters() if value.requires_grad)
    return {name.removeprefix("backbone.net.").partition(".")[0] for name in names}


def moved(net: ChipNet, member: MemberConfig, chips_BHWC: torch.Tensor, epoch: int) -> set[str]:
    """Top-level parts whose batch statistics one step of an epoch changes."""
    before = {name: value.clone() for name, value in net.named_buffers()}
    net.train()
    freeze(net, member, epoch)
    net(chips_BHWC).sum().backward()
    changed = (name for name, value in net.named_buffers() if not torch.equal(value, before[name]))
    return {name.removeprefix("backbone.net.").partition(".")[0] for name in changed}


@pytest.mark.parametrize(
    ("member", "epoch", "parts"),
    [
        (WHOLE, 0, PARTS),
        (STEM, 0, PARTS[2:]),
        (STEM, 5, PARTS[2:]),
        (replace(STEM, frozen_to="layer3"), 0, PARTS[5:]),
        (STAGED, 0, []),
        (STAGED, 1, PARTS),
        (replace(STAGED, staged_epochs=3), 2, []),
        (replace(STAGED, staged_epochs=3), 3, PARTS),
    ],
)
def test_what_is_held_still_has_neither_gradients_nor_new_statistics(
    trained: Run, tiny_dataset: Dataset, member: MemberConfig, epoch: int, parts: list[str]
) -> None:
    net = networks.fresh_net(trained, member)
    assert moved(net, member, chips_of(tiny_dataset), epoch) == set(parts)
    assert learning(net) == {*parts, "head"}
    with_gradient = {name for name, value in net.named_parameters() if value.grad is not None}
    assert with_gradient == {name for name, value in net.named_parameters() if value.requires_grad}


def test_a_transformers_tokens_and_positions_lie_before_its_first_block(
    trained: Run, tiny_dataset: Dataset
) -> None:
    member = replace(STEM, architecture="test_vit")
    net = member_net(trained, member, tiny_dataset, pretrained=False)
    freeze(net, member, 0)
    still = {
        name.removeprefix("backbone.net.")
        for name, value in net.named_parameters()
        if not value.requires_grad
    }
    assert {"cls_token", "pos_embed"} <= still
    assert all(name.startswith(("cls_token", "pos_embed", "patch_embed.", "blocks.0.")) for name in still)
    assert learning(net) >= {"blocks", "norm", "head"}


@pytest.mark.parametrize("member", [STEM, TRUNK, STAGED], ids=lambda member: member.name)
def test_a_fit_leaves_the_frozen_part_as_imagenet_made_it(prepared: Run, member: MemberConfig) -> None:
    dataset = open_dataset(prepared)
    run = replace(prepared, config=replace(prepared.config, max_steps=2 if member is not STAGED else None))
    state = networks.fitted(run, member, dataset)
    start = networks.fresh_net(run, member).state_dict()
    changed = {name for name in state if not torch.equal(state[name], start[name])}
    parts = {name.removeprefix("backbone.net.").partition(".")[0] for name in changed}
    match member.freeze:
        case "stem":
            assert parts == {*PARTS[2:], "head"}
            assert state.keys() == start.keys()
        case "trunk":
            assert parts == {"layer4", "head"}
            assert {name.removeprefix("backbone.net.").partition(".")[0] for name in state} == parts
        case _:
            assert parts == {*PARTS, "head"}


def test_staged_epochs_move_the_head_alone(prepared: Run) -> None:
    dataset = open_dataset(prepared)
    for member in (replace(STAGED, staged_epochs=2), replace(STAGED, name="whole", freeze="none")):
        state = networks.fitted(prepared, member, dataset)
        start = networks.fresh_net(prepared, member).state_dict()
        same = all(torch.equal(state[name], start[name]) for name in state if name.startswith("backbone."))
        assert same == (member.freeze == "staged")
        assert not torch.equal(state["head.weight"], start["head.weight"])


@pytest.mark.parametrize("architecture", ["test_resnet", "test_byobnet", "test_convnext"])
@pytest.mark.parametrize("freeze", ["trunk", "backbone"])
def test_both_parts_in_a_row_are_the_whole_network(
    trained: Run, tiny_dataset: Dataset, architecture: str, freeze: str
) -> None:
    member = replace(TRUNK, architecture=architecture, freeze=freeze)  # type: ignore[arg-type]
    whole, first, second = copies(trained, member, tiny_dataset)
    chips_BHWC = chips_of(tiny_dataset)
    with torch.inference_mode():
        cut = FrozenPart(first, member).eval()(chips_BHWC)
        learning_net = learning_part(second, member).eval()
        torch.testing.assert_close(learning_net(cut), whole(chips_BHWC))
    left = sum(parameter.numel() for parameter in learning_net.parameters())
    assert left < sum(parameter.numel() for parameter in whole.parameters())
    assert learning_net.state_dict().keys() < whole.state_dict().keys()


def copies(run: Run, member: MemberConfig, dataset: Dataset) -> list[ChipNet]:
    """Three times the same network."""
    nets = [member_net(run, member, dataset, pretrained=False).eval() for _ in range(3)]
    for net in nets:
        net.load_state_dict(nets[0].state_dict())
    return nets


def test_a_network_may_be_cut_inside_a_stage(trained: Run, tiny_dataset: Dataset) -> None:
    member = replace(TRUNK, architecture="test_convnext", frozen_to="stages.2.blocks.0")
    whole, rest, _ = copies(trained, member, tiny_dataset)
    check_cut(whole, member, chips_of(tiny_dataset))
    learning_part(rest, member)
    names = [name for name, _ in rest.backbone.named_parameters()]
    assert any(name.startswith("net.stages.2.blocks.1.") for name in names)
    assert not any(name.startswith(("net.stem", "net.stages.1.", "net.stages.2.blocks.0.")) for name in names)


def test_a_network_that_does_not_run_in_a_row_is_refused(prepared: Run, tmp_path: Path) -> None:
    """A transformer adds its positions between its patches and its first block."""
    weights = networks.write_weights(tmp_path / "weights", architectures=["test_vit"])
    run = replace(prepared, source=replace(prepared.source, weights=weights))
    member = replace(TRUNK, architecture="test_vit", name="vit")
    with pytest.raises(ValueError, match="vit: its modules do not run in a row up to the cut; name another"):
        cached_features(run, member, open_dataset(run))


def test_an_unknown_module_names_the_stages(trained: Run) -> None:
    stages = "act1, layer1, layer2, layer3, layer4"
    for member in (STEM, TRUNK):
        wrong = replace(member, frozen_to="layer9")
        net = networks.fresh_net(trained, wrong)
        with pytest.raises(ValueError, match=f"{member.name}: no module 'layer9'; stages are {stages}"):
            freeze(net, wrong, 0) if member is STEM else learning_part(net, wrong)


def test_late_fusion_is_not_frozen_in_part(trained: Run, tiny_dataset: Dataset) -> None:
    member = replace(STEM, fusion="late", bands=("red", "green", "blue", "red"))
    net = member_net(trained, member, tiny_dataset, pretrained=False)
    with pytest.raises(ValueError, match="stem: late fusion cannot be frozen in part"):
        freeze(net, member, 0)


def test_a_trunk_member_is_exported_whole(prepared: Run) -> None:
    """What it keeps is put on top of the frozen part again."""
    dataset = open_dataset(prepared)
    state = networks.fitted(prepared, TRUNK, dataset)
    net = networks.fresh_net(prepared, TRUNK)
    assert not net.load_state_dict(state, strict=False).unexpected_keys
    inputs = inputs_of(prepared, TRUNK, dataset)
    part = inputs.restored(load_file(prepared.fit_path("trunk", 0))).eval()
    rows = np.arange(8)
    with torch.inference_mode():
        found_BL = torch.sigmoid(part(inputs.seen(rows, 0))).numpy()
    expected_BL = torch_answers(networks.served(net), np.array(dataset.chips_NHWC[:8]))[0]
    np.testing.assert_allclose(found_BL, expected_BL, rtol=0, atol=0.02)  # the cached part in bfloat16
