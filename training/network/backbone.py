"""ImageNet backbones of timm: standardised planes (B,P,S,S) → a feature map (B,F,h,w).

Whatever shape timm's network gives, the map has this one. Knows architectures and their weights; no
labels, no head, no raw chips.

Shape suffixes: B chips, P planes, S side, F features, h, w feature map, T tokens, K 3 planes of a
picture.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

COLOUR_PLANES = 3  # the first ones, of the colour branch


class Backbone(nn.Module):
    """A timm network without its head, ending in a map that can be averaged."""

    def __init__(
        self,
        architecture: str,
        *,
        planes: int,
        size_px: int,
        pretrained: bool,
        weights: Path | None = None,
        shares_KP: torch.Tensor | None = None,
    ) -> None:
        """Build the network.

        Args:
            architecture: a timm model name: convolutions, or a transformer with patch tokens.
            planes: of the input; timm spreads a pretrained stem over other numbers than three.
            size_px: side of the input.
            pretrained: start from ImageNet weights rather than at random.
            weights: a local safetensors file with them; None lets timm download its own.
            shares_KP: what the planes of a picture are made of at first, in place of timm's way.

        Raises:
            ValueError: timm has no such model, it ends in no map, or the file lacks weights that
                the backbone has.
        """
        super().__init__()
        if not timm.is_model(architecture):
            close = ", ".join(timm.list_models(f"*{architecture.split('_')[0]}*")[:5]) or "none"
            raise ValueError(f"timm has no model {architecture!r}; alike are {close}")
        in_file = _names_in(weights) if weights else None
        config = timm.get_pretrained_cfg(architecture)
        # A transformer's position embedding has to be brought to the size.
        size: dict[str, Any] = {"img_size": size_px} if config and config.fixed_input_size else {}
        try:
            self.net = timm.create_model(
                architecture,
                pretrained=pretrained,
                pretrained_cfg_overlay={"file": str(weights)} if weights else None,
                num_classes=0,
                global_pool="",
                in_chans=planes if shares_KP is None else len(shares_KP),
                **size,
            )
        except AssertionError as error:  # how timm says that a network always pools
            raise ValueError(_no_map(architecture)) from error
        # timm takes what fits and leaves the rest at random.
        lacking = [name for name, _ in self.net.named_parameters() if in_file and name not in in_file]
        if lacking:
            raise ValueError(
                f"{weights}: lacks {len(lacking)} weights of {architecture}, the first being {lacking[0]}; "
                "give this architecture's file, in timm's names"
            )
        if shares_KP is not None:
            assert config and isinstance(config.first_conv, str)
            _widen(self.net.get_submodule(config.first_conv), shares_KP)
        features = self.net.head_hidden_size  # of what comes out: some widen their map at the end
        assert isinstance(features, int)
        self.features, self._architecture = features, architecture
        self._channels_last_map = getattr(self.net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, planes_BPSS: torch.Tensor) -> torch.Tensor:
        """Return the last map (B,F,h,w)."""
        found: torch.Tensor = self.net(planes_BPSS)
        if found.ndim == 3:
            tokens_BTF = found[:, getattr(self.net, "num_prefix_tokens", 0) :]
            grid = getattr(getattr(self.net, "patch_embed", None), "grid_size", ())
            if math.prod(grid) != tokens_BTF.shape[1]:
                raise ValueError(_no_map(self._architecture))
            return tokens_BTF.transpose(1, 2).unflatten(2, grid)  # type: ignore[no-untyped-call, no-any-return]
        return found.permute(0, 3, 1, 2) if self._channels_last_map else found

    def stages(self) -> list[str]:
        """Return the names of the modules that timm counts as stages, in order."""
        found = self.net.feature_info
        assert isinstance(found, list)
        return [stage["module"] for stage in found]


class LateFusion(nn.Module):
    """One backbone for the colours and one for other planes; their maps side by side."""

    def __init__(
        self,
        architecture: str,
        *,
        planes: int,
        size_px: int,
        pretrained: bool,
        weights: Path | None = None,
        shares_KP: torch.Tensor | None = None,
    ) -> None:
        """Build both from the same weights; see `Backbone`.

        With shares, the second sees all planes, at first as false colours; else those that are no
        colours.
        """
        super().__init__()
        if planes <= COLOUR_PLANES:
            raise ValueError("late fusion needs planes besides the three colours: add a band or an index")
        self._first = COLOUR_PLANES if shares_KP is None else 0  # plane of the second's
        build = partial(Backbone, architecture, size_px=size_px, pretrained=pretrained, weights=weights)
        self.colours = build(planes=COLOUR_PLANES)
        self.others = build(planes=planes - self._first, shares_KP=shares_KP)
        self.features = self.colours.features + self.others.features

    def forward(self, planes_BPSS: torch.Tensor) -> torch.Tensor:
        """Return both maps in one, (B,F,h,w)."""
        maps = self.colours(planes_BPSS[:, :COLOUR_PLANES]), self.others(planes_BPSS[:, self._first :])
        return torch.cat(maps, dim=1)


def _widen(stem: nn.Module, shares_KP: torch.Tensor) -> None:
    """Let a stem take planes that it sees as the picture made of them.

    Convolution is linear: to mix the planes in its weights is to mix them before it. What it may
    learn is not bound to the mixture.
    """
    assert isinstance(stem, nn.Conv2d)
    assert stem.groups == 1
    weight = torch.einsum("okyx,kp->opyx", stem.weight.detach(), shares_KP)
    stem.in_channels, stem.weight = shares_KP.shape[1], nn.Parameter(weight.contiguous())


def _no_map(architecture: str) -> str:
    return (
        f"{architecture} does not end in a map of places; choose a network of convolutions, or a "
        "transformer with patch tokens such as vit, deit, swin"
    )


def _names_in(weights: Path) -> set[str]:
    try:
        with safe_open(weights, "pt") as file:
            return set(file.keys())
    except SafetensorError as error:
        raise ValueError(f"{weights}: not a whole safetensors file ({error}); fetch it again") from error
