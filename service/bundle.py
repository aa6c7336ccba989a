"""The contract between training and service: a folder with a manifest and its graphs.

    models/<bundle>/
      bundle.json            the manifest (`Manifest`)
      <member>.<precision>.onnx
      golden.npz             generated chips with the answers they must get
      README.md              the model card, for people; the service does not read it

Training writes a bundle with `seal`, the service reads it with `load`, and both go
through the same checks. Knows files, hashes and shapes; never opens a graph, so it
needs neither ONNX nor ONNX Runtime.

Shape suffixes: M members, G golden chips, H height, W width, C bands, L labels.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import BundleError

MANIFEST = "bundle.json"

Precision = Literal["float32", "float16", "int8"]
Fitting = Literal["cross-fitted", "in-sample", "held-out"]
Unit = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """Base of every part of the manifest: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileRef(Part):
    """A file of the bundle, by its path inside the folder and its content."""

    path: str
    sha256: Sha256
    size_bytes: int = Field(ge=0)

    @model_validator(mode="after")
    def _stay_inside(self) -> Self:
        path = PurePosixPath(self.path)
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


class Member(Part):
    """One network with its own thresholds (one per label, in label order)."""

    name: str = Field(min_length=1)
    architecture: str
    thresholds: tuple[Unit, ...]
    graphs: dict[Precision, Graph] = Field(min_length=1)


class Label(Part):
    """One label: its report group and its share of the training chips."""

    name: str = Field(min_length=1)
    group: str
    prevalence: Unit


class InputSpec(Part):
    """What a graph's input `chips` takes: uint8 (B, height, width, bands)."""

    bands: tuple[str, ...] = Field(min_length=1)
    dtype: Literal["uint8"] = "uint8"
    height: int = Field(gt=0)
    width: int = Field(gt=0)


class LabelScore(Part):
    """How well one label is found; None where no chip has it."""

    label: str
    positives: int
    precision: Unit
    recall: Unit
    f2: Unit
    average_precision: Unit | None


class Scores(Part):
    """Quality on labelled chips, and whether the thresholds had seen those labels."""

    fitting: Fitting
    chips: int = Field(gt=0)
    sample_f2: Unit
    macro_f2: Unit
    mean_average_precision: Unit
    group_f2: dict[str, Unit]
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

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(min_length=1)
    description: str
    input: InputSpec
    labels: tuple[Label, ...] = Field(min_length=1)
    members: tuple[Member, ...] = Field(min_length=1)
    quorum: int = Field(ge=1)
    golden: FileRef
    scores: Scores
    provenance: Provenance

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [label.name for label in self.labels]
        if len(set(names)) < len(names):
            raise ValueError(f"labels repeat a name: {names}")
        if len({member.name for member in self.members}) < len(self.members):
            raise ValueError("members repeat a name")
        for member in self.members:
            count = len(member.thresholds)
            if count != len(names):
                raise ValueError(f"member {member.name!r} has {count} thresholds for {len(names)} labels")
        if self.quorum > len(self.members):
            raise ValueError(f"quorum {self.quorum} is more than {len(self.members)} members")
        if not self.precisions:
            raise ValueError("no precision is there for every member")
        return self

    @property
    def precisions(self) -> frozenset[Precision]:
        """The precisions that every member has a graph for."""
        return frozenset.intersection(*(frozenset(m.graphs) for m in self.members))


class Golden:
    """Generated chips and the answers that a healthy service gives for them."""

    def __init__(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.chips_GHWC: npt.NDArray[np.uint8] = arrays["chips"]
        self.labels_GL: npt.NDArray[np.bool_] = arrays["labels"]
        self._probs_MGL = {
            name.removeprefix("probabilities_"): array
            for name, array in arrays.items()
            if name.startswith("probabilities_")
        }

    def probs_MGL(self, precision: Precision) -> npt.NDArray[np.float32]:
        """Return the expected float32 probabilities (M,G,L) at one precision."""
        return self._probs_MGL[precision]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk."""

    folder: Path
    manifest: Manifest

    @property
    def thresholds_ML(self) -> npt.NDArray[np.float32]:
        """Thresholds, float32 (M,L): the numbers that were tuned, bit for bit."""
        return np.array([member.thresholds for member in self.manifest.members], np.float32)

    @property
    def label_names(self) -> list[str]:
        """Label names in output order."""
        return [label.name for label in self.manifest.labels]

    def graph_path(self, member: Member, precision: Precision) -> Path:
        """Return where a member's graph lies."""
        return self.folder / member.graphs[precision].file.path

    @cached_property
    def golden(self) -> Golden:
        """Return the golden chips and answers, checked against the manifest.

        Raises:
            BundleError: an array is missing or has another shape than the manifest implies.
        """
        return _read_golden(self.folder, self.manifest)


def load(folder: Path) -> Bundle:
    """Read a bundle and verify every file's hash.

    Raises:
        BundleError: names the file that is missing, altered or inconsistent, and the fix.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}); give a folder that `chipvote-train export` wrote"
        ) from error
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "manifest"
        raise BundleError(
            f"{path}: {where}: {first['msg']}; restore the file or export the bundle again"
        ) from error
    bundle = Bundle(folder, manifest)
    graphs = [graph.file for member in manifest.members for graph in member.graphs.values()]
    for ref in (*graphs, manifest.golden):
        _verify(folder, ref)
    _ = bundle.golden
    return bundle


def seal(folder: Path, manifest: Manifest) -> Bundle:
    """Write the manifest next to the files it names, then load the result as a service would.

    Raises:
        BundleError: a file does not match the manifest.
    """
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return load(folder)


def reference(folder: Path, path: str) -> FileRef:
    """Describe a file of the folder by its hash and size."""
    file = folder / path
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileRef(path=path, sha256=digest, size_bytes=file.stat().st_size)


def _verify(folder: Path, ref: FileRef) -> None:
    path = folder / ref.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{path}: a link leads out of the bundle's folder; copy the file inside")
    if not path.is_file():
        raise BundleError(f"{path}: missing; restore the file or export the bundle again")
    actual = reference(folder, ref.path)
    if actual != ref:
        raise BundleError(
            f"{path}: sha256 is {actual.sha256[:12]}…, the manifest says {ref.sha256[:12]}…; "
            "the file was altered or cut short: restore it or export the bundle again"
        )


def _read_golden(folder: Path, manifest: Manifest) -> Golden:
    path = folder / manifest.golden.path
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not a readable npz ({error}); export the bundle again") from error
    count = len(arrays["chips"]) if "chips" in arrays else 0
    labels, spec = len(manifest.labels), manifest.input
    shapes: dict[str, tuple[int, ...]] = {"labels": (count, labels)}
    shapes["chips"] = (count, spec.height, spec.width, len(spec.bands))
    for precision in manifest.precisions:
        shapes[f"probabilities_{precision}"] = (len(manifest.members), count, labels)
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape or count == 0:
            found = arrays[name].shape if name in arrays else "nothing"
            raise BundleError(f"{path}: {name} must be {shape}, found {found}; export the bundle again")
    return Golden(arrays)
