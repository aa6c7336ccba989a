"""One member's network: raw chips in, logits out, with everything in between inside.

Shape suffixes: B chips, H height, W width, C bands, F features, h, w feature map, L labels.
"""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import timm
import torch
from safetensors import SafetensorError, safe_open
from timm.data.config import resolve_model_data_config
from torch import nn

from training.config import MemberConfig
from training.workspace import Run

HEAD = "head."  # prefix of the head's weights in a saved network


def best_device() -> torch.device:
    """Return the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_bfloat16() -> bool:
    """Tell whether the device computes in bfloat16; one that emulates it is faster in float32."""
    if best_device().type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class ChipNet(nn.Module):
    """Resize and scaling, an ImageNet backbone, global average pooling, one linear layer."""

    def __init__(
        self, architecture: str, *, labels: int, size_px: int, pretrained: bool, weights: Path | None = None
    ) -> None:
        """Build the network.

        Args:
            architecture: a timm model name.
            labels: width of the output.
            size_px: side of the square that chips are resized to.
            pretrained: start from ImageNet weights rather than at random.
            weights: a local safetensors file with them; None lets timm download its own.

        Raises:
            ValueError: the file cannot be read, or lacks weights that the backbone has.
        """
        super().__init__()
        overlay = {"file": str(weights)} if weights else None
        in_file = _names_in(weights) if weights else None
        self.backbone = timm.create_model(
            architecture,
            pretrained=pretrained,
            pretrained_cfg_overlay=overlay,
            num_classes=0,
            global_pool="",
        )
        # timm takes what fits and leaves the rest at random.
        lacking = [name for name, _ in self.backbone.named_parameters() if in_file and name not in in_file]
        if lacking:
            raise ValueError(
                f"{weights}: lacks {len(lacking)} weights of {architecture}, the first being {lacking[0]}; "
                "give this architecture's file, in timm's names"
            )
        self.architecture = architecture
        self.size_px = size_px
        features = self.backbone.num_features
        assert isinstance(features, int)
        self.head = nn.Linear(features, labels)
        scaling = resolve_model_data_config(self.backbone)  # type: ignore[no-untyped-call]
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", 255 * torch.tensor(scaling["mean"])[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(scaling["std"])[:, None, None], persistent=False)

    def feature_map(self, chips_BHWC: torch.Tensor) -> torch.Tensor:
        """Return the backbone's last map, (B,F,h,w), from raw chips."""
        pixels_BCHW = chips_BHWC.permute(0, 3, 1, 2).float()
        height, width = pixels_BCHW.shape[-2:]
        if (height, width) != (self.size_px, self.size_px):
            # By factor, not by size: a size would put the batch's shape into the graph, which a
            # GPU session has to compute on the CPU.
            factor = (self.size_px / height, self.size_px / width)
            pixels_BCHW = nn.functional.interpolate(pixels_BCHW, scale_factor=factor, mode="bilinear")
        scaled_BCHW = (pixels_BCHW - self.mean) / self.std
        features_BFhw: torch.Tensor = self.backbone(scaled_BCHW)
        return features_BFhw

    def pooled_features(self, chips_BHWC: torch.Tensor) -> torch.Tensor:
        """Return what the head sees, (B,F)."""
        return self.feature_map(chips_BHWC).mean(dim=(2, 3))

    def forward(self, chips_BHWC: torch.Tensor) -> torch.Tensor:
        """Return logits (B,L)."""
        logits_BL: torch.Tensor = self.head(self.pooled_features(chips_BHWC))
        return logits_BL


def _names_in(weights: Path) -> set[str]:
    try:
        with safe_open(weights, "pt") as file:
            return set(file.keys())
    except SafetensorError as error:
        raise ValueError(f"{weights}: not a whole safetensors file ({error}); fetch it again") from error


def member_net(run: Run, member: MemberConfig, labels: int, *, pretrained: bool) -> ChipNet:
    """Return a member's network, with the run's ImageNet weights or at random."""
    return ChipNet(
        member.architecture,
        labels=labels,
        size_px=member.size_px,
        pretrained=pretrained,
        weights=run.weights_path(member.architecture) if pretrained else None,
    )


def fingerprint(net: ChipNet) -> str:
    """Return the sha256 over the backbone's weights and statistics."""
    sha256 = hashlib.sha256()
    for name, value in net.backbone.state_dict().items():
        sha256.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return sha256.hexdigest()


def start_at_prevalence(head: nn.Linear, targets_NL: npt.NDArray[np.bool_]) -> None:
    """Set the bias so that an untrained head predicts each label's share of the training chips.

    Without it, the first third of the steps goes into learning that most labels are rare.
    """
    share_L = (targets_NL.sum(axis=0) + 0.5) / (len(targets_NL) + 1)
    with torch.no_grad():
        nn.init.zeros_(head.weight)
        head.bias.copy_(torch.from_numpy(np.log(share_L / (1 - share_L))))


class ExportNet(nn.Module):
    """A `ChipNet` as it is served: probabilities, and the evidence they are the mean of."""

    def __init__(self, net: ChipNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, chips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities (B,L) and evidence (B,L,h,w).

        The evidence is the class activation map: the head applied at every place before
        pooling. Its mean over h,w plus the head's bias is the logit.

        Source: Zhou et al. 2016, "Learning deep features for discriminative localization".
        """
        head = self.net.head
        features_BFhw = self.net.feature_map(chips)
        evidence_BLhw = nn.functional.conv2d(features_BFhw, head.weight[:, :, None, None])
        return torch.sigmoid(evidence_BLhw.mean(dim=(2, 3)) + head.bias), evidence_BLhw
