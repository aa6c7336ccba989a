"""The contract between training and service: a folder with a manifest and its graphs.

    models/<bundle>/
      bundle.json            the manifest (`Manifest`)
      <member>.<precision>.onnx
      golden.npz             generated chips with the answers they must get
      out_of_fold.npz        the members' probabilities of training chips that they had not seen
      README.md              the model card, for people; the service does not read it

Training writes a bundle with `seal`, the service reads it with `load`, and both go
through the same checks. Knows files, hashes and shapes; never opens a graph, so it
needs neither ONNX nor ONNX Runtime.

Shape suffixes: M members, G golden chips, H height, W width, C bands, L labels.
"""

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from service.contract.decision import Decider, Voter
from service.contract.early_exit import EarlyVoter
from service.contract.errors import BundleError
from service.contract.manifest import (
    FileRef,
    Manifest,
    Member,
    Pixel,
    Precision,
)

MANIFEST = "bundle.json"
SCHEMA = Manifest.model_fields["schema_version"].default
SEAL = "seal"  # key of the manifest's own sha256, which is no part of its content


class Golden:
    """Generated chips and the answers that a healthy service gives for them."""

    def __init__(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.chips_GHWC: npt.NDArray[Pixel] = arrays["chips"]
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

    @cached_property
    def decider(self) -> Decider:
        """The tuned rule, ready to decide."""
        return self.manifest.decision.decider()

    @cached_property
    def early_voter(self) -> EarlyVoter | None:
        """The same rule, asking members one after the other; None where it is no plain vote.

        A blend, expected F and co-occurrence look at all members' probabilities.
        """
        planned, members = self.manifest.early_exit, range(len(self.manifest.members))
        order = planned.order if planned else members
        return EarlyVoter(self.decider, order) if isinstance(self.decider, Voter) else None

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
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path}: cannot be read ({error}); --bundle or CHIPVOTE_BUNDLE must name a folder that "
            "`chipvote-train export` wrote"
        ) from error
    manifest = _parse(path, text)
    bundle = Bundle(folder, manifest)
    graphs = [graph.file for member in manifest.members for graph in member.graphs.values()]
    for ref in (*graphs, manifest.golden, manifest.out_of_fold):
        if ref:
            _verify(folder, ref)
    _ = bundle.golden
    return bundle


def seal(folder: Path, manifest: Manifest) -> Bundle:
    """Write the manifest next to the files it names, then load the result as a service would.

    Raises:
        BundleError: a file does not match the manifest.
    """
    facts = manifest.model_dump(mode="json")
    sealed = {**facts, SEAL: _seal_of(facts)}
    text = json.dumps(sealed, indent=1, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return load(folder)


def reference(folder: Path, path: str) -> FileRef:
    """Describe a file of the folder by its hash and size."""
    file = folder / path
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileRef(path=path, sha256=digest, size_bytes=file.stat().st_size)


def _seal_of(facts: dict[str, Any]) -> str:
    """Return the sha256 over the manifest's content, however it is laid out."""
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _parse(path: Path, text: bytes) -> Manifest:
    try:
        facts = json.loads(text)
        found = facts.pop(SEAL, None) if isinstance(facts, dict) else None
        version = facts.get("schema_version", SCHEMA) if isinstance(facts, dict) else SCHEMA
        if version != SCHEMA:
            raise BundleError(
                f"{path}: schema_version {version!r}, and this Chipvote reads {SCHEMA}; export the bundle "
                "again with `chipvote-train export`"
            )
        manifest = Manifest.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "manifest"
        raise BundleError(
            f"{path}: {where}: {first['msg']}; restore the file or export the bundle again"
        ) from error
    except ValueError as error:
        raise BundleError(f"{path}: no JSON ({error}); restore it or export the bundle again") from error
    if found != _seal_of(facts):
        raise BundleError(
            f"{path}: was altered since it was sealed; restore the file or export the bundle again"
        )
    return manifest


def _verify(folder: Path, ref: FileRef) -> None:
    path = folder / ref.path
    try:
        _compare(folder, path, ref)
    except (OSError, ValueError, RuntimeError) as error:  # a link to itself, a name no file can have
        raise BundleError(f"{path}: cannot be read ({error}); export the bundle again") from error


def _compare(folder: Path, path: Path, ref: FileRef) -> None:
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
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
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
    if arrays["chips"].dtype != spec.dtype:
        raise BundleError(
            f"{path}: chips must be {spec.dtype}, found {arrays['chips'].dtype}; export the bundle again"
        )
    return Golden(arrays)
