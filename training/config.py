"""What a run does, as data: everything that changes its result and nothing that does not.

A recipe (`recipes.py`) builds a `RunConfig`; the run's folder keeps it as JSON.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from service.bundle import Precision
from training.thresholds import FLAT, SHRINKAGE


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberConfig:
    """One architecture of the ensemble and how it is fitted, the same on every fold."""

    architecture: str  # a timm model name that ends in global average pooling
    size_px: int  # side of the square the graph resizes a chip to
    freeze: Literal["none", "backbone"]  # "backbone": fit the head only, on cached pooled features
    epochs: int
    batch_size: int
    learning_rate: float  # initial; divided by 10 at one third and two thirds of the epochs
    weight_decay: float = 0.0  # L2, as Adam adds it to the gradient


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a model card must say that the code cannot know."""

    description: str = "Land-use labels for satellite chips."
    licence: str = "not stated"
    sources: tuple[str, ...] = ()  # data and initial weights, with their terms


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """A whole run, from chips to bundle."""

    recipe: str
    members: tuple[MemberConfig, ...]
    folds: int
    fold_members: Literal["separate", "averaged"]  # every fold's network votes, or their weights' mean
    precisions: tuple[Precision, ...]
    height_px: int = 256
    width_px: int = 256
    seed: int = 2017
    beta: float = 2.0
    prior_threshold: float = FLAT
    shrinkage: float = SHRINKAGE
    calibration_chips: int = 256  # how many training chips set the int8 ranges
    check_chips: int = 512  # how many real chips every graph is compared with PyTorch on
    about: About = About()
    max_steps: int | None = None  # optimizer steps per fit, to try a path out; None: all epochs

    def __post_init__(self) -> None:
        """Refuse a size that resizing by a factor would miss by rounding."""
        for member in self.members:
            for side_px in (self.height_px, self.width_px):
                if int(side_px * (member.size_px / side_px)) != member.size_px:
                    raise ValueError(
                        f"{member.architecture}: {side_px} px cannot be resized to exactly "
                        f"{member.size_px} px; choose a neighbouring size_px"
                    )

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, dicts and numbers."""
        return asdict(self)
