"""What a run does, as data: everything that changes its result and nothing that does not.

A field's type says its range; what needs several fields, the data or timm is in
`training/fit/preflight.py`. A recipe (`recipes.py`) builds a `RunConfig`; the run's folder keeps it
as JSON.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from service.contract.manifest import Precision
from service.contract.sensors import Band, Dtype

FLAT = 0.2  # the customary threshold for F2 and the prior that tuned thresholds shrink toward
CACHED = ("trunk", "backbone")  # freezings whose frozen part never changes what it says of a view

Item = TypeVar("Item")


def _some(items: tuple[Item, ...]) -> tuple[Item, ...]:
    if not items:
        raise ValueError("is empty; name at least one")
    return items


def _each_once(items: tuple[Item, ...]) -> tuple[Item, ...]:
    if len(set(items)) < len(items):
        raise ValueError("name each once")
    return items


def _strength(shrinkage: float | Literal["usual"]) -> float | Literal["usual"]:
    if shrinkage != "usual" and not 0 <= shrinkage < math.inf:
        raise ValueError("use 0 or more, 'usual' or None")
    return shrinkage


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[\w.-]*\w", name):
        raise ValueError("names files; use letters, digits, . _ and -")
    return name


Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Between = Annotated[float, Field(gt=0, lt=1)]  # 0 and 1, neither of them
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Bands = Annotated[tuple[Band, ...], AfterValidator(_some), AfterValidator(_each_once)]
Size = Annotated[int, Field(ge=32)]  # below, a backbone's last map would be smaller than a pixel
Precisions = Annotated[tuple[Precision, ...], AfterValidator(_some), AfterValidator(_each_once)]
FileName = Annotated[str, AfterValidator(_file_name)]
# "usual": the objective's in SHRINKAGE
Shrinkage = Annotated[float | Literal["usual"], AfterValidator(_strength)]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberConfig:
    """One network of the ensemble and how it is fitted, the same on every fold."""

    architecture: str  # a timm model name
    name: FileName = ""  # unique within the run; the architecture unless said otherwise
    size_px: Size  # side of the square the graph resizes a chip to

    # What it sees and says.
    bands: Bands = ("red", "green", "blue")  # of the run's input
    indices: tuple[Literal["ndvi", "ndwi"], ...] = ()  # planes computed from the bands, in the graph
    # How bands beside RGB come in. early: by a wider stem; late: by a backbone of their own, whose
    # map joins that of the colours; false-colour: the same, of all bands as a picture.
    fusion: Literal["early", "late", "false-colour"] = "early"
    dehaze: bool = False  # dark-channel haze removal, in the graph
    labels: tuple[str, ...] = ()  # the labels it votes on; empty: all
    exclusive: tuple[str, ...] = ()  # labels under one softmax: exactly one of them is true

    # What is trained.
    freeze: Literal["none", "stem", "trunk", "backbone", "staged"] = "none"
    # The last frozen module. Default: timm's first stage for "stem", the last but one for "trunk".
    frozen_to: str | None = None
    staged_epochs: Count = 1  # with "staged": epochs in which only the head learns
    # With "trunk" and "backbone": views of a chip that are kept and learned from, the four quarter
    # turns or their mirror images too. Half take half the time and disk before the first epoch.
    cached_views: Literal[4, 8] = 8

    # How.
    epochs: Count
    batch_size: Count
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"  # sgd: Nesterov, momentum 0.9
    learning_rate: Positive  # the highest of the schedule
    backbone_rate: NotNegative = 1.0  # factor on the learning rate of all but the head
    weight_decay: NotNegative = 0.0
    schedule: Literal["step", "cosine"] = "step"  # step: by 10 at one third and two thirds
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    clip_norm: Annotated[float, Field(gt=0)] | None = None  # largest norm of the gradient
    ema_decay: Between | None = None  # keep the exponential moving average of the weights
    loss: Literal["bce", "soft-f2", "asymmetric"] = "bce"
    label_smoothing: BelowOne = 0.0
    dropout: BelowOne = 0.0  # before the head
    augmentation: Literal["none", "views", "lossy"] = "views"
    oversample: Share = 0.0  # 0: every chip once an epoch; 1: rare labels as often as common ones
    mixed_precision: bool = True  # bfloat16 where the device computes in it
    channels_last: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        """Name the member after its architecture."""
        if not self.name:
            object.__setattr__(self, "name", self.architecture)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionConfig:
    """How out-of-fold probabilities become a rule."""

    rule: Literal["vote", "blend", "expected-f"] = "vote"
    objective: Literal["samples", "macro"] = "samples"  # F-beta per chip, or per label
    beta: Positive = 2.0
    thresholds: Literal["member", "shared"] = "member"  # a row each, or one row for all members
    prior: Between = FLAT
    shrinkage: Shrinkage | None = "usual"  # λ; usual: the objective's; None: by nested cross-validation
    bags: Annotated[int, Field(ge=0)] = 0  # thresholds are the mean over so many bootstrap samples; 0: none
    weights: Literal["equal", "tuned"] = "equal"
    members: Literal["all", "greedy"] = "all"
    cooccurrence: bool = False  # label-set rules that the truth never breaks (`cloudy` alone, …)


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
    members: Annotated[tuple[MemberConfig, ...], AfterValidator(_some)]
    folds: Annotated[int, Field(ge=2)]  # every chip must be held out once
    fold_members: Literal["separate", "averaged"]  # every fold's network votes, or their weights' mean
    precisions: Precisions
    bands: tuple[Band, ...] = ("red", "green", "blue")  # of the chips, as the graphs take them
    dtype: Dtype = "uint8"
    sensor: str | None = None  # whose chips: a name in `service.contract.sensors.SENSORS`
    file_bands: tuple[Band, ...] = ()  # of files that do not name theirs, in order; empty: the sensor's
    resolution_m: Annotated[float, Field(gt=0)] | None = None  # of the ground, per pixel
    nodata: float | None = None  # the value of pixels that show nothing
    grey: bool = False  # take grey pictures too, for red, green and blue alike
    height_px: Count = 256
    width_px: Count = 256
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 2017
    predict_views: Literal[1, 8] = 1  # views whose mean logit is a chip's prediction
    graph_views: Literal[1, 8] = 1  # the same inside the exported graphs
    decision: DecisionConfig = field(default_factory=DecisionConfig)
    calibration_chips: Count = 256  # how many training chips set the int8 ranges
    check_chips: Count = 512  # how many real chips every graph is compared with PyTorch on
    about: About = About()
    max_steps: Count | None = None  # optimizer steps per fit, to try a path out; None: all epochs

    def __post_init__(self) -> None:
        """Refuse what could only fail hours later."""
        names = [member.name for member in self.members]
        if len(set(names)) < len(names):
            raise ValueError(f"members repeat a name: {', '.join(names)}; give each its own `name`")
        for member in self.members:
            missing = sorted(set(member.bands) - set(self.bands))
            if missing:
                raise ValueError(f"{member.name}: the run's chips have no band {', '.join(missing)}")
            if self.predict_views > member.cached_views and member.freeze in CACHED:
                raise ValueError(
                    f"{member.name}: predict_views={self.predict_views} needs as many cached_views, not "
                    f"{member.cached_views}"
                )

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, dicts and numbers."""
        return asdict(self)


def checked(config: RunConfig) -> RunConfig:
    """Return the configuration with every field of its own type and in its range.

    Python itself checks no field.

    Raises:
        ValueError: lists the fields that hold something else, such as an option that there is not.
    """
    text = json.dumps(config.to_json(), default=repr)
    try:
        return TypeAdapter(RunConfig).validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError("\n".join(faults(error))) from None


def faults(error: ValidationError) -> list[str]:
    """Describe each wrong field in one line: where it is, what it holds, what it should be."""
    lines = []
    for fault in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        lines.append(f"{where}={fault['input']!r:.40}: {message}" if where else message)
    return lines
