"""The schema of `bundle.json`: every fact about a bundle that is not a weight.

Knows shapes and ranges; opens no file. `bundle.py` reads and writes it.
"""

import math
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from service.contract.rules import CountRow, Part, Rule, Unit
from service.contract.sensors import SENSORS, Band, Dtype

Precision = Literal["float32", "float16", "int8"]
Fitting = Literal["cross-fitted", "in-sample", "held-out"]
INPUT, PROBABILITIES, EVIDENCE = "chips", "probabilities", "evidence"  # of every graph
Pixel = np.uint8 | np.uint16 | np.int16 | np.float32  # the number types of `InputSpec.dtype`
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _rising(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    if low > high:
        raise ValueError(f"interval {low} to {high} falls; write the lower end first")
    return interval


Interval = Annotated[tuple[Unit, Unit], AfterValidator(_rising)]  # 95 %, by bootstrap over chips


class FileRef(Part):
    """A file of the bundle, by its path inside the folder and its content."""

    path: str = Field(max_length=255)
    sha256: Sha256
    size_bytes: int = Field(ge=0, lt=1 << 31)  # protobuf reads no larger graph

    @model_validator(mode="after")
    def _stay_inside(self) -> Self:
        path = PurePosixPath(self.path)
        if not self.path.isprintable():
            raise ValueError(f"path {self.path!r} is no name of a file; use a plain one")
        if path.is_absolute() or ".." in path.parts or "\\" in self.path or not path.parts:
            raise ValueError(f"path {self.path!r} leaves the bundle's folder; use a plain file name")
        return self


class ExportCheck(Part):
    """How far a graph's answers are from PyTorch's on real chips, measured before writing."""

    chips: int = Field(gt=0)
    max_probability_difference: float = Field(ge=0)
    sample_f2_change: float  # graph minus PyTorch, same thresholds


class Graph(Part):
    """One member at one precision."""

    file: FileRef
    check: ExportCheck
    bounded: bool = False  # no two products of 8 bits can add up beyond 16 bits, which x86 without VNNI needs


class Member(Part):
    """One network of the ensemble."""

    name: str = Field(min_length=1)
    architecture: str
    graphs: dict[Precision, Graph] = Field(min_length=1)


class Label(Part):
    """One label: its report group and its share of the training chips."""

    name: str = Field(min_length=1)
    group: str
    prevalence: Unit


def _is_of(dtype: Dtype, value: float) -> bool:
    if dtype == "float32":
        return math.isfinite(value)
    limits = np.iinfo(dtype)
    return value.is_integer() and int(limits.min) <= value <= int(limits.max)


class InputSpec(Part):
    """What a graph's input `chips` takes: (B, height, width, bands).

    The last fields tell what else is known of the chips, so that others are not taken for them.
    """

    bands: tuple[Band, ...] = Field(min_length=1)
    dtype: Dtype = "uint8"
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    sensor: str | None = None  # a name in `SENSORS`
    file_bands: tuple[Band, ...] = ()  # of files that do not name theirs, in order; empty: the sensor's
    resolution_m: float | None = Field(default=None, gt=0)  # of the ground, per pixel
    nodata: float | None = None  # the value of pixels that show nothing
    grey: bool = False  # grey pictures are taken too, for red, green and blue alike
    # Of each band, between which values all but two in a thousand training pixels lie.
    limits: tuple[tuple[float, float], ...] = ()

    @model_validator(mode="after")
    def _be_known(self) -> Self:
        if self.sensor is not None and self.sensor not in SENSORS:
            raise ValueError(f"there is no sensor {self.sensor!r}; there are {', '.join(SENSORS)}")
        if missing := sorted(set(self.bands) - set(self.order)):
            raise ValueError(f"its files hold {', '.join(self.order)}; they lack {', '.join(missing)}")
        if self.limits and len(self.limits) != len(self.bands):
            raise ValueError(f"{len(self.bands)} bands need as many limits; there are {len(self.limits)}")
        if self.nodata is not None and not _is_of(self.dtype, self.nodata):
            raise ValueError(f"no pixel of {self.dtype} can be {self.nodata:g}, its value of nodata")
        return self

    @property
    def ground_resolution_m(self) -> float | None:
        """How wide a pixel is on the ground, as far as the bundle or its sensor tells."""
        if self.resolution_m is None and self.sensor is not None:
            return SENSORS[self.sensor].resolution_m
        return self.resolution_m

    @property
    def order(self) -> tuple[str, ...]:
        """The bands of a file that does not name them, in order."""
        if self.file_bands:
            return self.file_bands
        if self.sensor is not None:
            return SENSORS[self.sensor].bands
        # Bundles of earlier versions tell no more than this.
        if self.dtype == "uint16":
            return SENSORS["planet-contest"].bands
        colours = ("red", "green", "blue")
        return colours if set(self.bands) <= set(colours) else SENSORS["naip"].bands


class EarlyExit(Part):
    """In which order the members of a vote are asked, so that label sets are settled cheaply.

    Measured on chips of the training data, which the networks may know: on others it takes more.
    """

    order: CountRow  # members by index, each once
    costs: tuple[Annotated[float, Field(ge=1)], ...]  # time per chip in the members' own order, cheapest 1
    chips: int = Field(gt=0)
    mean_members: float = Field(ge=1)  # how many members run for a chip
    cost_share: Unit  # their time, of the time of all


class LabelScore(Part):
    """How well one label is found.

    None where no chip has the label, and where an interval was not measured.
    """

    label: str
    positives: int
    precision: Unit
    recall: Unit
    f2: Unit
    f2_interval: Interval | None = None
    average_precision: Unit | None
    average_precision_interval: Interval | None = None


class Scores(Part):
    """Quality on labelled chips, and whether the thresholds had seen those labels."""

    fitting: Fitting
    chips: int = Field(gt=0)
    sample_f2: Unit
    sample_f2_interval: Interval | None = None
    macro_f2: Unit
    macro_f2_interval: Interval | None = None
    mean_average_precision: Unit
    mean_average_precision_interval: Interval | None = None
    group_f2: dict[str, Unit]
    group_f2_intervals: dict[str, Interval] = Field(default={})
    labels: tuple[LabelScore, ...]


class Provenance(Part):
    """Where the bundle comes from, enough to make it again."""

    dataset: str
    dataset_sha256: Sha256
    chips: int = Field(gt=0)
    recipe: dict[str, Any]
    versions: dict[str, str]
    licence: str
    sources: tuple[str, ...] = ()  # data and initial weights, with their terms


class Manifest(Part):
    """The whole of `bundle.json`."""

    schema_version: Literal[2] = 2
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(min_length=1)
    description: str
    input: InputSpec
    labels: tuple[Label, ...] = Field(min_length=1)
    members: tuple[Member, ...] = Field(min_length=1)
    decision: Rule
    early_exit: EarlyExit | None = None
    golden: FileRef
    out_of_fold: FileRef | None = None  # what the members said of training chips that they had not seen
    scores: Scores
    provenance: Provenance

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [label.name for label in self.labels]
        if len(set(names)) < len(names):
            raise ValueError(f"labels repeat a name: {names}")
        if len({member.name for member in self.members}) < len(self.members):
            raise ValueError("members repeat a name")
        try:
            self.decision.check_shape(len(self.members), len(names))
        except ValueError as error:
            raise ValueError(f"decision: {error}") from error
        members = list(range(len(self.members)))
        if self.early_exit and sorted(self.early_exit.order) != members:
            raise ValueError(f"early_exit.order must name each of {members} once")
        if self.early_exit and len(self.early_exit.costs) != len(members):
            raise ValueError(f"early_exit.costs must be {len(members)} members")
        if not self.precisions:
            raise ValueError("no precision is there for every member")
        return self

    @property
    def precisions(self) -> frozenset[Precision]:
        """The precisions that every member has a graph for."""
        return frozenset.intersection(*(frozenset(m.graphs) for m in self.members))
