"""Shape suffixes: B chips, H height, W width, C bands, F features, h, w feature map, L labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.data.config import resolve_model_data_config
from torchvision.transforms.v2 import functional as reference  # type: ignore[import-untyped]

from service.contract.chips.bands import RGB
from tests.kit import networks, stripes
from training.config.recipes import RECIPES
from training.config.schema import MemberConfig
from training.data.dataset import Dataset
from training.network.augmentation import VIEWS, view
from training.network.backbone import Backbone
from training.network.model import ChipNet, ExportNet, label_mask, member_net, silence, start_at_prevalence
from training.network.preprocessing import Preprocessing
from training.run.folder import Run


def chips(count: int, size_px: int = stripes.SIZE_PX) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size_px, size_px, 3), dtype=torch.uint8, generator=generator)


def test_timm_has_the_networks_of_every_recipe() -> None:
    members = [member for recipe in RECIPES.values() for member in recipe().members]
    assert [m.architecture for m in members if not timm.is_model(m.architecture)] == []


def network(
    architecture: str = "test_resnet",
    size_px: int = stripes.SIZE_PX,
    pretrained: bool = False,
    weights: Path | None = None,
) -> ChipNet:
    torch.manual_seed(0)
    half = [127.5] * 3
    scaling = Preprocessing(RGB, RGB, size_px=size_px, full_scale=255, mean=half, std=half)
    return ChipNet(
        member(architecture, size_px), scaling, labels=4, pretrained=pretrained, weights=weights
    ).eval()


def member(architecture: str, size_px: int) -> MemberConfig:
    return replace(stripes.FROZEN, architecture=architecture, size_px=size_px)


class Seen(torch.nn.Module):
    """Stands in for a backbone: its features are the pixels it is given."""

    def forward(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        return pixels_BCHW


@pytest.mark.parametrize(("size_px", "chip_px"), [(299, 256), (256, 256), (80, 64), (64, 128)])
@pytest.mark.parametrize("architecture", ["test_resnet", "test_convnext"])  # ImageNet's scaling, and 0.5
def test_chips_are_resized_and_normalised_as_torchvision_would(
    trained: Run, tiny_dataset: Dataset, architecture: str, size_px: int, chip_px: int
) -> None:
    net = member_net(trained, member(architecture, size_px), tiny_dataset, pretrained=False)
    scaling = resolve_model_data_config(timm.create_model(architecture))  # type: ignore[no-untyped-call]
    net.backbone = Seen()
    chips_BHWC = chips(2, chip_px)
    pixels_BCHW = chips_BHWC.permute(0, 3, 1, 2).float() / 255
    resized_BCHW = reference.resize(pixels_BCHW, [size_px, size_px], antialias=False)
    expected_BCHW = reference.normalize(resized_BCHW, scaling["mean"], scaling["std"])
    seen_BCHW = net.feature_map(chips_BHWC)
    assert seen_BCHW.shape == (2, 3, size_px, size_px)
    torch.testing.assert_close(seen_BCHW, expected_BCHW, rtol=0, atol=2e-5)


def test_logits_are_the_head_on_pooled_features() -> None:
    net = network()
    with torch.inference_mode():
        features_BFhw = net.feature_map(chips(2))
        pooled_BF = features_BFhw.flatten(2).mean(dim=2)
        torch.testing.assert_close(net(chips(2)), pooled_BF @ net.head.weight.T + net.head.bias)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_byobnet"])
def test_evidence_adds_up_to_the_logit(architecture: str) -> None:
    net = network(architecture, 96)
    with torch.inference_mode():
        logits_BL = net(chips(3))
        probs_BL, evidence_BLhw = networks.served(net)(chips(3))
        assert evidence_BLhw.shape[:2] == (3, 4)
        assert evidence_BLhw.shape[2] > 1
        torch.testing.assert_close(evidence_BLhw.mean(dim=(2, 3)) + net.head.bias, logits_BL)
        torch.testing.assert_close(probs_BL, torch.sigmoid(logits_BL))


def test_an_untrained_head_predicts_the_prevalence() -> None:
    targets_NL = np.zeros((1000, 4), np.bool_)
    for column, positives in enumerate((0, 10, 500, 1000)):
        targets_NL[:positives, column] = True
    net = network()
    start_at_prevalence(net.head, targets_NL)
    with torch.inference_mode():
        probs_BL = torch.sigmoid(net(chips(2)))
    torch.testing.assert_close(probs_BL, torch.tensor([[0, 0.01, 0.5, 1]]).expand(2, 4), rtol=0, atol=1e-3)
    assert ((probs_BL > 0) & (probs_BL < 1)).all()


@pytest.mark.parametrize("with_classifier", [True, False])
def test_weights_come_from_a_local_file(tmp_path: Path, with_classifier: bool) -> None:
    saved = timm.create_model("test_resnet", num_classes=1000 if with_classifier else 0)
    path = tmp_path / "test_resnet.safetensors"
    save_file(saved.state_dict(), path)
    backbone = network(pretrained=True, weights=path).backbone
    assert isinstance(backbone, Backbone)
    expected = load_file(path)
    for name, tensor in backbone.net.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_half_precision_weights_load_as_single(tmp_path: Path) -> None:
    path = tmp_path / "test_resnet.safetensors"
    state = timm.create_model("test_resnet").state_dict()
    save_file({key: value.half() if value.ndim == 4 else value for key, value in state.items()}, path)
    net = network(pretrained=True, weights=path)
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    """Without the check, timm leaves what it does not find at random and goes on."""
    path = tmp_path / "test_resnet.safetensors"
    save_file(timm.create_model("test_byobnet").state_dict(), path)
    with pytest.raises(ValueError, match=r"lacks \d+ weights of test_resnet, the first being conv1"):
        network(pretrained=True, weights=path)


def test_a_weights_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "test_resnet.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        network(pretrained=True, weights=path)


def test_a_saved_network_fits_any_size_and_holds_nothing_of_the_scaling() -> None:
    first, second = network(), network(size_px=96)
    own = {f"backbone.{name}" for name in first.backbone.state_dict()}
    assert set(first.state_dict()) == own | {"head.weight", "head.bias"}
    second.load_state_dict(first.state_dict())


def test_eight_views_give_their_mean_logit_however_the_chip_lies() -> None:
    net = network()
    served = ExportNet(net, stripes.LABELS, (), views=VIEWS).eval()
    with torch.inference_mode():
        logits_BL = torch.stack([net(view(chips(3), index)) for index in range(VIEWS)]).mean(dim=0)
        probs_BL, evidence_BLhw = served(chips(3))
        torch.testing.assert_close(probs_BL, torch.sigmoid(logits_BL))
        torch.testing.assert_close(evidence_BLhw.mean(dim=(2, 3)) + net.head.bias, logits_BL)
        one_BL, one_BLhw = networks.served(net)(chips(3))
        for index in range(1, VIEWS):
            turned_BL, turned_BLhw = served(view(chips(3), index))
            torch.testing.assert_close(turned_BL, probs_BL)
            there_BLhw = view(evidence_BLhw.permute(0, 2, 3, 1), index).permute(0, 3, 1, 2)
            torch.testing.assert_close(turned_BLhw, there_BLhw, rtol=1e-4, atol=1e-5)
            assert not torch.allclose(networks.served(net)(view(chips(3), index))[0], one_BL)
    assert one_BLhw.shape == evidence_BLhw.shape


def test_labels_under_one_softmax_add_up_to_one() -> None:
    net = network()
    with torch.inference_mode():
        logits_BL = 5 * net(chips(3))
        net.head.weight.mul_(5)
        net.head.bias.mul_(5)
        probs_BL, _ = ExportNet(net, stripes.LABELS, ("dark", "red"))(chips(3))
    torch.testing.assert_close(probs_BL[:, [1, 3]], logits_BL[:, [1, 3]].softmax(dim=1))
    torch.testing.assert_close(probs_BL[:, [0, 2]], torch.sigmoid(logits_BL[:, [0, 2]]))


def test_a_member_is_silent_on_labels_that_are_not_its_own() -> None:
    chosen = replace(stripes.FROZEN, labels=("dark", "red"))
    assert label_mask(chosen, stripes.LABELS).tolist() == [False, True, False, True]
    assert label_mask(stripes.FROZEN, stripes.LABELS).all()
    net = network()
    with torch.inference_mode():
        before_BL = net(chips(3))
        silence(net.head, label_mask(chosen, stripes.LABELS))
        probs_BL, evidence_BLhw = networks.served(net)(chips(3))
    assert probs_BL[:, [0, 2]].max() < 1e-12
    assert not evidence_BLhw[:, [0, 2]].any()
    torch.testing.assert_close(probs_BL[:, [1, 3]], torch.sigmoid(before_BL[:, [1, 3]]))
