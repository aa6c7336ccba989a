"""The contract between training and service: a folder with a manifest and its graphs.

    models/<bundle>/
      bundle.json            the manifest (`Manifest`)
      <member>.<precision>.onnx
      golden.npz             generated chips with the answers they must get
      out_of_fold.npz        the members' probabilities of training chips that they had not seen
      README.md              the model card, for people; the service does not read it

Training writes a bundle with `seal`, the service reads it with `load`, and both go
through the same checks. Knows files, hashes and shapes; walks a graph and never runs it, so it
needs neither ONNX nor ONNX Runtime. A bundle may come from anyone:
every file is bounded before it is read.

Shape suffixes: M members, G golden chips, H height, W width, C bands, L labels.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from service.contract.archive import Form, read_arrays
from service.contract.decision import Decider, Voter
from service.contract.early_exit import EarlyVoter
from service.contract.errors import BundleError
from service.contract.graph_file import check_graph_file
from service.contract.manifest import (
    FileRef,
    Manifest,
    Member,
    Pixel,
    Precision,
)

MANIFEST = "bundle.json"
MAX_MANIFEST_BYTES = 1 << 24
MAX_VALUES = 250_000  # in a manifest: each may cost hundreds of bytes, and one wrong value more
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

    @cached_property
    def label_names(self) -> list[str]:
        """Label names in output order."""
        return [label.name for label in self.manifest.labels]

    def graph(self, member: Member, precision: Precision) -> bytes:
        """Return a member's graph, verified: what lies there may have changed since `load`.

        Raises:
            BundleError: it has.
        """
        ref = member.graphs[precision].file
        path = self.folder / ref.path
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != ref.sha256:
                raise ValueError("the file has changed since the bundle was read")
            check_graph_file(data)
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: {error}; restore it or export the bundle again") from error
        return data

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
    manifest = _parse(path, _read(path))
    bundle = Bundle(folder, manifest)
    graphs = [graph.file for member in manifest.members for graph in member.graphs.values()]
    for ref in (*graphs, manifest.golden, manifest.out_of_fold):
        if ref:
            _verify(folder, ref)
    for ref in graphs:
        _check_graph(folder / ref.path)
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


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise OSError("no such file")  # nor a pipe or a device, which may never end
        if path.stat().st_size <= MAX_MANIFEST_BYTES:
            return path.read_bytes()
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path}: cannot be read ({error}); --bundle or CHIPVOTE_BUNDLE must name a folder that "
            "`chipvote-train export` wrote"
        ) from error
    raise BundleError(
        f"{path}: is larger than {MAX_MANIFEST_BYTES} bytes, which no manifest is; "
        "restore the file or export the bundle again"
    )


def _parse(path: Path, text: bytes) -> Manifest:
    try:
        if text.count(b",") > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        facts = json.loads(text)
        found = facts.pop(SEAL, None) if isinstance(facts, dict) else None
        version = facts.get("schema_version", SCHEMA) if isinstance(facts, dict) else SCHEMA
        if version != SCHEMA:
            raise BundleError(
                f"{path}: schema_version {version!r:.40}, and this Chipvote reads {SCHEMA}; export the "
                "bundle again with `chipvote-train export`"
            )
        manifest = Manifest.model_validate(facts)
        sealed = found == _seal_of(facts)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "manifest"
        raise BundleError(
            f"{path}: {where:.200}: {first['msg']:.500}; restore the file or export the bundle again"
        ) from error
    except RecursionError as error:
        raise BundleError(f"{path}: is nested too deeply; restore it or export the bundle again") from error
    except ValueError as error:
        raise BundleError(f"{path}: no JSON ({error}); restore it or export the bundle again") from error
    if not sealed:
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
    if not path.is_file():  # pipes and devices may never end
        what = "is no file" if path.exists() else "missing"
        raise BundleError(f"{path}: {what}; restore the file or export the bundle again")
    if (size := path.stat().st_size) != ref.size_bytes:
        raise _altered(path, f"it has {size} bytes", f"{ref.size_bytes}")
    if (actual := reference(folder, ref.path)) != ref:
        raise _altered(path, f"sha256 is {actual.sha256[:12]}…", f"{ref.sha256[:12]}…")


def _altered(path: Path, found: str, told: str) -> BundleError:
    return BundleError(
        f"{path}: {found}, the manifest says {told}; "
        "the file was altered or cut short: restore it or export the bundle again"
    )


def _check_graph(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            check_graph_file(mmap(stream.fileno(), 0, access=ACCESS_READ))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: {error}; export the bundle again") from error


def _read_golden(folder: Path, manifest: Manifest) -> Golden:
    path = folder / manifest.golden.path
    labels, spec = len(manifest.labels), manifest.input

    def forms(count: int) -> dict[str, Form]:
        chips = Form((count, spec.height, spec.width, len(spec.bands)), spec.dtype)
        probabilities = Form((len(manifest.members), count, labels), "float32")
        return {
            "labels": Form((count, labels), "bool"),
            "chips": chips,
            **{f"probabilities_{precision}": probabilities for precision in sorted(manifest.precisions)},
        }

    try:
        return Golden(read_arrays(path, forms, counted="chips"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: {error}; export the bundle again") from error
