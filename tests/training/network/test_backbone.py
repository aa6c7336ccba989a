"""Shape suffixes: B chips, P planes, S side, F features, h, w map, O, I, K convolution weights."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from training.network.backbone import Backbone, LateFusion

SIZE_PX = 64


def backbone(architecture: str, planes: int = 3, weights: Path | None = None) -> Backbone:
    torch.manual_seed(0)
    net = Backbone(
        architecture, planes=planes, size_px=SIZE_PX, pretrained=weights is not None, weights=weights
    )
    return net.eval()


def planes_of(count: int = 3) -> torch.Tensor:
    return torch.randn(2, count, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "test_resnet.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


# Plain convolutions, widened at the end, patch tokens behind a class token, channels last.
@pytest.mark.parametrize(
    "architecture", ["test_resnet", "test_convnext", "mobilenetv3_small_050", "test_vit", "test_mambaout"]
)
def test_every_kind_of_network_ends_in_a_map_of_its_places(architecture: str) -> None:
    net = backbone(architecture)
    with torch.inference_mode():
        map_BFhw = net(planes_of())
        found = net.net(planes_of())
    assert map_BFhw.shape[:2] == (2, net.features)
    height, width = map_BFhw.shape[2:]
    assert height == width > 1
    for row, column in ((0, 0), (0, 1), (1, 0)):
        match architecture:
            case "test_vit":  # the class token is no place
                assert found.shape[1] == height * width + 1
                place_BF = found[:, 1 + row * width + column]
            case "test_mambaout":
                place_BF = found[:, row, column]
            case _:
                place_BF = found[:, :, row, column]
        assert torch.equal(map_BFhw[:, :, row, column], place_BF)


def test_a_transformers_positions_are_brought_to_the_size(tmp_path: Path) -> None:
    saved = timm.create_model("test_vit")
    path = tmp_path / "test_vit.safetensors"
    save_file(saved.state_dict(), path)
    net = backbone("test_vit", weights=path)
    assert saved.patch_embed.grid_size != net.net.patch_embed.grid_size == (4, 4)  # type: ignore[union-attr]
    with torch.inference_mode():
        assert net(planes_of()).shape == (2, 64, 4, 4)


def test_another_number_of_planes_keeps_the_pretrained_stem(weights: Path) -> None:
    """As timm documents: colours repeat, scaled to the same sum; one plane has the sum itself."""
    first_OIKK = backbone("test_resnet", weights=weights).net.conv1[0].weight  # type: ignore[index, union-attr]
    for count in (1, 4, 6):
        net = backbone("test_resnet", planes=count, weights=weights)
        found_OIKK = net.net.conv1[0].weight  # type: ignore[index, union-attr]
        if count == 1:
            expected_OIKK = first_OIKK.sum(dim=1, keepdim=True)
        else:
            expected_OIKK = first_OIKK[:, [index % 3 for index in range(count)]] * 3 / count
        torch.testing.assert_close(found_OIKK, expected_OIKK)
        with torch.inference_mode():
            assert net(planes_of(count)).shape[1] == net.features


def test_late_fusion_lays_two_pretrained_maps_side_by_side(weights: Path) -> None:
    net = LateFusion("test_resnet", planes=5, size_px=SIZE_PX, pretrained=True, weights=weights).eval()
    colours, others = (backbone("test_resnet", planes=count, weights=weights) for count in (3, 2))
    with torch.inference_mode():
        found_BFhw = net(planes_of(5))
        expected_BFhw = torch.cat([colours(planes_of(5)[:, :3]), others(planes_of(5)[:, 3:])], dim=1)
    assert torch.equal(found_BFhw, expected_BFhw)
    assert found_BFhw.shape[1] == net.features == 2 * colours.features


def test_false_colours_are_a_picture_of_all_planes_to_the_second_backbone(weights: Path) -> None:
    shares_3P = torch.tensor([[0, 0, 0, 0.5, 0.5], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0]])
    net = LateFusion(
        "test_resnet", planes=5, size_px=SIZE_PX, pretrained=True, weights=weights, shares_KP=shares_3P
    ).eval()
    alone = backbone("test_resnet", weights=weights)
    with torch.inference_mode():
        picture_B3SS = torch.einsum("kp,bpyx->bkyx", shares_3P, planes_of(5))
        expected_BFhw = torch.cat([alone(planes_of(5)[:, :3]), alone(picture_B3SS)], dim=1)
        torch.testing.assert_close(net(planes_of(5)), expected_BFhw, rtol=1e-4, atol=1e-5)
    assert net.features == 2 * alone.features
    net.load_state_dict(net.state_dict())


@pytest.mark.parametrize("architecture", ["test_convnext", "mobilenetv3_small_050", "test_vit"])
def test_every_kind_of_stem_takes_false_colours(architecture: str) -> None:
    net = LateFusion(
        architecture, planes=4, size_px=SIZE_PX, pretrained=False, shares_KP=torch.eye(4)[1:]
    ).eval()
    with torch.inference_mode():
        expected_BFhw = net.others(planes_of(4))
        assert torch.equal(net(planes_of(4))[:, net.colours.features :], expected_BFhw)
        changed = planes_of(4).clone()
        changed[:, 0] += 1
        torch.testing.assert_close(net.others(changed), expected_BFhw)


def test_late_fusion_without_anything_to_fuse_is_refused() -> None:
    with pytest.raises(ValueError, match="needs planes besides the three colours: add a band or an index"):
        LateFusion("test_resnet", planes=3, size_px=SIZE_PX, pretrained=False)


def test_an_unknown_architecture_names_those_that_are_alike() -> None:
    with pytest.raises(ValueError, match=r"timm has no model 'test_resne'; alike are test_\w+, test_"):
        backbone("test_resne")
    with pytest.raises(ValueError, match="timm has no model 'nothing'; alike are none"):
        backbone("nothing")


@pytest.mark.parametrize("architecture", ["coat_lite_tiny", "gmlp_ti16_224"])
def test_a_network_without_a_map_is_refused(architecture: str) -> None:
    with pytest.raises(ValueError, match="does not end in a map of places; choose"):
        backbone(architecture)(planes_of())


def test_the_stages_are_modules_in_the_order_they_run() -> None:
    net = backbone("test_resnet")
    assert net.stages() == ["act1", "layer1", "layer2", "layer3", "layer4"]
    assert all(net.net.get_submodule(name) for name in net.stages())


def test_a_file_without_a_weight_is_refused(tmp_path: Path, weights: Path) -> None:
    """Without the check, timm leaves what it does not find at random and goes on."""
    state = timm.create_model("test_resnet").state_dict()
    del state["layer3.0.conv1.weight"]
    path = tmp_path / "test_resnet.safetensors"
    save_file(state, path)
    with pytest.raises(ValueError, match=r"lacks 1 weights of test_resnet, the first being layer3\.0\.conv1"):
        backbone("test_resnet", weights=path)
