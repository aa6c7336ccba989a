"""A bundle → a model repository of NVIDIA's Triton Inference Server.

    chipvote/              the ensemble that clients ask: chips → labels, votes, probabilities
      config.pbtxt  labels.txt
      1/bundle.json        the manifest, as it was sealed
    chipvote_member_0/ …   one model for each member: the graph as it is in the bundle
      config.pbtxt
      1/model.onnx         and model.py, where Triton's Python backend is to run it
    chipvote_vote/         the bundle's rule: this project's own sources, run by the Python backend
      config.pbtxt  labels.txt
      1/model.py  rule.json  service/…

Triton takes what the graphs take: arrays of the bundle's bands, type and size, not files. Knows
bundles and files; `triton_config.py` knows Triton's words, and nothing here runs a graph.
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import service
from service.contract.bundle import MANIFEST, Bundle
from service.contract.errors import DeviceError, SettingsError
from service.contract.manifest import Member, Precision
from service.engine.placement import PRECISIONS
from service.engine.sessions import Device
from service.offline.exports import triton_models
from service.offline.exports.triton_config import (
    LABELS_FILE,
    Backend,
    ensemble_config,
    member_config,
    member_name,
    vote_config,
    vote_name,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAX_BATCH = 32
# What the models import of this project; with it they decide by the very code of the service.
RULE_SOURCES = ("__init__", "contract/__init__", "contract/rules", "contract/decision", "contract/expected_f")
RUNTIME_SOURCES = ("__init__", "contract/__init__", "contract/onnx_runtime")


def write_repository(
    bundle: Bundle,
    out: Path,
    *,
    name: str = "chipvote",
    backend: Backend = "onnxruntime",
    device: Device = "cpu",
    precision: Literal["auto"] | Precision = "auto",
    max_batch: int = MAX_BATCH,
) -> Precision:
    """Write a repository, whole or not at all; the same bundle gives the same bytes.

    Args:
        bundle: a verified bundle.
        out: a folder that is not there yet, or an empty one.
        name: of the ensemble, and what the other models' names begin with.
        backend: what runs the members. Triton's own images have `onnxruntime`; `python` needs ONNX
            Runtime in Triton's Python.
        device: where the members run.
        precision: `auto` takes the service's first choice for the device that the bundle has.
        max_batch: most chips that Triton puts together.

    Returns:
        The precision of the graphs.

    Raises:
        SettingsError: the options do not fit the bundle or each other, or `out` is taken.
        DeviceError: the bundle has no graph for the device.
        BundleError: a graph was altered since the bundle was read.
    """
    _check(out, name, backend, device)
    chosen = _choose(bundle, backend, device, precision)
    manifest = bundle.manifest
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        root = Path(temporary) / "repository"
        _write_ensemble(root, name, bundle, chosen, max_batch)
        _write_vote(root / vote_name(name), bundle, max_batch)
        for index, member in enumerate(manifest.members):
            model = member_name(name, index)
            config = member_config(
                model,
                manifest.input,
                len(manifest.labels),
                backend=backend,
                device=device,
                max_batch=max_batch,
                parameters=_parameters(member, chosen, device),
            )
            _write_member(root / model, bundle, member, chosen, config, backend)
        root.rename(out)
    return chosen


def _check(out: Path, name: str, backend: Backend, device: Device) -> None:
    if backend == "python" and device == "cuda":
        raise SettingsError(
            "the Python backend runs members on the CPU; take --backend onnxruntime for a GPU"
        )
    if not NAME.fullmatch(name):
        raise SettingsError(f"--name {name!r} is no name of a folder; write letters, digits, . _ and -")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise SettingsError(f"{out} is there and not empty; name a new folder")


def _choose(
    bundle: Bundle,
    backend: Backend,
    device: Device,
    precision: Literal["auto"] | Precision,
) -> Precision:
    there = sorted(bundle.manifest.precisions)
    if precision != "auto" and precision not in there:
        raise SettingsError(f"{bundle.folder} has {', '.join(there)}; name one of these, or auto")
    # No CPU has kernels for halves; it takes them for want of others.
    allowed = PRECISIONS["cuda"] if device == "cuda" else (*PRECISIONS["cpu"], "float16")
    chosen = next((one for one in allowed if one in there and precision in ("auto", one)), None)
    if chosen is None:
        raise DeviceError(
            f"{bundle.folder} has {', '.join(there)}, and a GPU runs {' and '.join(allowed)} only; "
            "take --device cpu, or export the bundle with float16"
        )
    unbounded = [member.name for member in bundle.manifest.members if not member.graphs[chosen].bounded]
    if backend == "onnxruntime" and chosen == "int8" and unbounded:
        raise SettingsError(
            f"the int8 weights of {', '.join(unbounded)} are not bounded: processors without VNNI need exact "
            "kernels for them, which Triton's backend cannot be asked for; take --backend python, another "
            "--precision, or export the bundle again"
        )
    return chosen


def _parameters(member: Member, precision: Precision, device: Device) -> dict[str, str]:
    graph = member.graphs[precision]
    # "1" is HEURISTIC, or every new size of a batch has all convolutions measured anew.
    search = {"cudnn_conv_algo_search": "1"} if device == "cuda" else {}
    return {
        **search,
        "member": member.name,
        "precision": precision,
        "bounded": str(graph.bounded).lower(),
        "sha256": graph.file.sha256,
    }


def _write_ensemble(root: Path, name: str, bundle: Bundle, precision: Precision, max_batch: int) -> None:
    manifest = bundle.manifest
    config = ensemble_config(
        name,
        manifest.input,
        len(manifest.members),
        len(manifest.labels),
        max_batch,
        {
            "bundle": manifest.name,
            "version": manifest.version,
            "precision": precision,
            "bands": " ".join(manifest.input.bands),
        },
    )
    version = _write_model(root / name, config, bundle.label_names)
    shutil.copyfile(bundle.folder / MANIFEST, version / MANIFEST)


def _write_vote(folder: Path, bundle: Bundle, max_batch: int) -> None:
    manifest = bundle.manifest
    config = vote_config(folder.name, len(manifest.members), len(manifest.labels), max_batch)
    version = _write_model(folder, config, bundle.label_names)
    (version / "rule.json").write_text(manifest.decision.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _copy_code(version, "vote.py", RULE_SOURCES)


def _write_member(
    folder: Path, bundle: Bundle, member: Member, precision: Precision, config: str, backend: Backend
) -> None:
    version = _write_model(folder, config)
    (version / "model.onnx").write_bytes(bundle.graph(member, precision))
    if backend == "python":
        _copy_code(version, "member.py", RUNTIME_SOURCES)


def _write_model(folder: Path, config: str, labels: Sequence[str] = ()) -> Path:
    """Write what Triton reads of every model; return the folder of its version."""
    version = folder / "1"
    version.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    if labels:
        lines = [" ".join(label.split()) for label in labels]
        (folder / LABELS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return version


def _copy_code(version: Path, model: str, sources: Sequence[str]) -> None:
    here, models = Path(service.__file__).parent, Path(triton_models.__file__).parent
    shutil.copyfile(models / model, version / "model.py")
    for source in sources:
        copy = version / "service" / f"{source}.py"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(here / f"{source}.py", copy)
