"""One member's network: raw chips in, logits out, with everything in between inside.

Shape suffixes: B chips, H height, W width, C bands, F features, h, w feature map, L labels.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import timm
import torch
from timm.data.config import resolve_data_config
from torch import nn

from service.contract.chips.bands import RGB
from training.config.schema import MemberConfig
from training.config.sensor import false_colours
from training.data.dataset import Dataset
from training.network.augmentation import VIEWS, unview, view
from training.network.backbone import Backbone, LateFusion
from training.network.loss import activation
from training.network.preprocessing import Preprocessing
from training.run.folder import Run

FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "int16": 32767.0, "float32": 1.0}
SILENT = -30.0  # logit of a label that a member has no say on


class ChipNet(nn.Module):
    """Preprocessing, an ImageNet backbone, global average pooling, one linear layer."""

    def __init__(
        self,
        member: MemberConfig,
        preprocessing: nn.Module,
        *,
        labels: int,
        pretrained: bool,
        weights: Path | None = None,
    ) -> None:
        """Build the network.

        Args:
            member: what to build.
            preprocessing: chips (B,H,W,C) → standardised planes.
            labels: width of the output.
            pretrained: start from ImageNet weights rather than at random.
            weights: see `Backbone`.

        Raises:
            ValueError: see `Backbone` and `LateFusion`.
        """
        super().__init__()
        self.preprocessing = preprocessing
        planes = (*member.bands, *member.indices)
        self.backbone: nn.Module = (Backbone if member.fusion == "early" else LateFusion)(
            member.architecture,
            planes=len(planes),
            size_px=member.size_px,
            pretrained=pretrained,
            weights=weights,
            shares_KP=_shares(planes) if member.fusion == "false-colour" else None,
        )
        self.name = member.name
        features = self.backbone.features
        assert isinstance(features, int)
        self.dropout = nn.Dropout(member.dropout)
        self.head = nn.Linear(features, labels)

    def feature_map(self, chips_BHWC: torch.Tensor) -> torch.Tensor:
        """Return the backbone's last map, (B,F,h,w), from raw chips."""
        features_BFhw: torch.Tensor = self.backbone(self.preprocessing(chips_BHWC))
        return features_BFhw

    def forward(self, chips_BHWC: torch.Tensor) -> torch.Tensor:
        """Return logits (B,L)."""
        pooled_BF = self.feature_map(chips_BHWC).mean(dim=(2, 3))
        logits_BL: torch.Tensor = self.head(self.dropout(pooled_BF))
        return logits_BL


def member_net(run: Run, member: MemberConfig, dataset: Dataset, *, pretrained: bool) -> ChipNet:
    """Return a member's network for the run's chips, with ImageNet weights or at random."""
    mean, std = _scaling(run, member, dataset)
    places = [run.config.bands.index(band) for band in member.bands]
    preprocessing = Preprocessing(
        member.bands,
        run.config.bands,
        size_px=member.size_px,
        full_scale=FULL_SCALE[run.config.dtype],
        mean=mean,
        std=std,
        indices=member.indices,
        dehaze=member.dehaze,
        limits=None if run.config.dtype == "uint8" else dataset.limits_C2[places].tolist(),
        nodata=run.config.nodata,
        fill=dataset.median_C.tolist(),
    )
    weights = run.weights_path(member.architecture) if pretrained else None
    return ChipNet(member, preprocessing, labels=len(dataset.labels), pretrained=pretrained, weights=weights)


def _shares(planes: Sequence[str]) -> torch.Tensor:
    """Return each plane's share in a picture in false colours, (3,P)."""
    return torch.tensor([[(p in mixed) / len(mixed) for p in planes] for mixed in false_colours(planes)])


def example_chips(dataset: Dataset) -> torch.Tensor:
    """Return two real chips (2,H,W,C), to try a network on."""
    return torch.from_numpy(dataset.chips_NHWC[:2].copy())


def _scaling(run: Run, member: MemberConfig, dataset: Dataset) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of every band in raw units.

    A network knows 8-bit colours by ImageNet's; anything else by the training chips'.
    """
    known = {}
    if run.config.dtype == "uint8":
        config = timm.get_pretrained_cfg(member.architecture)
        facts = config.to_dict() if config else {"architecture": member.architecture}  # type: ignore[no-untyped-call]
        imagenet = resolve_data_config(pretrained_cfg=facts)  # type: ignore[no-untyped-call]
        known = dict(zip(RGB, zip(imagenet["mean"], imagenet["std"], strict=True), strict=True))
    scaling = []
    for band in member.bands:
        if band in known:
            scaling.append((255 * known[band][0], 255 * known[band][1]))
        else:
            index = run.config.bands.index(band)
            scaling.append((float(dataset.mean_C[index]), float(dataset.std_C[index])))
    return [mean for mean, _ in scaling], [std for _, std in scaling]


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


def silence(head: nn.Linear, label_mask_L: npt.NDArray[np.bool_]) -> None:
    """Give the labels that a member does not vote on the probability 0."""
    with torch.no_grad():
        head.weight[~torch.from_numpy(label_mask_L)] = 0.0
        head.bias[~torch.from_numpy(label_mask_L)] = SILENT


def label_mask(member: MemberConfig, labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which labels a member votes on, (L,)."""
    return np.array([not member.labels or label in member.labels for label in labels])


class ExportNet(nn.Module):
    """A `ChipNet` as it is served: probabilities, and the evidence they are the mean of."""

    def __init__(self, net: ChipNet, labels: Sequence[str], exclusive: Sequence[str], views: int = 1) -> None:
        """Wrap a network.

        Args:
            net: the network.
            labels: the outputs' names.
            exclusive: the labels under one softmax.
            views: 1, or 8 to average the logits over all views of a chip.
        """
        super().__init__()
        self.net, self.labels, self.exclusive, self.views = net, labels, exclusive, views

    def forward(self, chips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities (B,L) and evidence (B,L,h,w).

        The evidence is the class activation map: the head applied at every place before
        pooling. Its mean over h,w plus the head's bias is the logit; of several views, it is
        the mean of their maps, each turned back.

        Source: Zhou et al. 2016, "Learning deep features for discriminative localization".
        """
        head = self.net.head
        seen = chips if self.views == 1 else torch.cat([view(chips, index) for index in range(VIEWS)])
        maps_BLhw = nn.functional.conv2d(self.net.feature_map(seen), head.weight[:, :, None, None])
        if self.views > 1:
            parts = enumerate(maps_BLhw.unflatten(0, (VIEWS, -1)).unbind())  # type: ignore[no-untyped-call]
            maps_BLhw = torch.stack([unview(part_BLhw, index) for index, part_BLhw in parts]).mean(dim=0)
        logits_BL = maps_BLhw.mean(dim=(2, 3)) + head.bias
        return activation(logits_BL, self.labels, self.exclusive), maps_BLhw
