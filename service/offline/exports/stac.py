"""A bundle → an item of a STAC catalogue, with the Machine Learning Model extension.

The item says what a bundle takes and gives, by which rule it decides, and where its files are, each
with its hash. It claims no place and no time: a manifest does not tell where its chips were taken.

Knows the manifest and STAC's words; opens no graph.

Source: STAC 1.1, and its extensions Machine Learning Model 1.6, Classification 2.0, File 2.1 and
Version 1.2.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.contract.bundle import MANIFEST, Bundle, reference
from service.contract.errors import SettingsError
from service.contract.manifest import INPUT, PROBABILITIES, FileRef, Manifest, Member, Precision

_EXTENSIONS = ("mlm/v1.6.0", "classification/v2.0.0", "file/v2.1.0", "version/v1.2.0")
_ALL_TIMES = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")  # as the extension has it, for any time
_SEMANTIC = re.compile(r"\d+\.\d+\.\d+")
_SHA256 = "1220"  # how a multihash begins: sha2-256, 32 bytes
CARD = "README.md"
BATCH = 32
Box = tuple[float, float, float, float]


def write_item(bundle: Bundle, out: Path, *, address: str | None = None, bbox: Box | None = None) -> None:
    """Write the item; the same bundle gives the same bytes.

    Args:
        bundle: a verified bundle.
        out: the JSON file.
        address: where the bundle's folder is published; its path, as seen from `out`, if None.
        bbox: west, south, east and north in degrees, of the ground that the model is meant for.

    Raises:
        SettingsError: `bbox` is no box, or `out` no file.
        OSError: the file cannot be written.
    """
    _check(out, bbox)
    base = address or Path(os.path.relpath(bundle.folder.resolve(), out.resolve().parent)).as_posix()
    text = json.dumps(item(bundle, base, bbox), indent=2, ensure_ascii=False) + "\n"
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(out)


def _check(out: Path, bbox: Box | None) -> None:
    if out.exists() and not out.is_file():  # a device would be lost
        raise SettingsError(f"{out} is there and no file; name another --out")
    west, south, east, north = bbox or (0, 0, 0, 0)
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise SettingsError(
            f"--bbox {west:g} {south:g} {east:g} {north:g}: write degrees: west south east north"
        )


def item(bundle: Bundle, base: str, bbox: Box | None = None) -> dict[str, Any]:
    """Describe a bundle whose folder is found at `base`."""
    manifest = bundle.manifest
    card = [_link("about", base, CARD, "text/markdown")] if (bundle.folder / CARD).is_file() else []
    place = {"geometry": _rectangle(bbox), "bbox": list(bbox)} if bbox else {"geometry": None}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [f"https://stac-extensions.github.io/{name}/schema.json" for name in _EXTENSIONS],
        "id": _plain(f"{manifest.name}-{manifest.version}", "._-"),
        **place,
        "properties": {**_common(manifest), **_model(manifest)},
        "links": card,
        "assets": _assets(bundle, base),
    }


def _common(manifest: Manifest) -> dict[str, Any]:
    spec, licence = manifest.input, manifest.provenance.licence
    band = {"data_type": spec.dtype} | ({} if spec.nodata is None else {"nodata": spec.nodata})
    return {
        "title": f"{manifest.name} {manifest.version}",
        "description": manifest.description,
        "datetime": None,
        "start_datetime": _ALL_TIMES[0],
        "end_datetime": _ALL_TIMES[1],
        "version": manifest.version,
        "license": licence if re.fullmatch(r"[\w.+-]+", licence) else "other",
        **({"gsd": spec.resolution_m} if spec.resolution_m else {}),
        "bands": [{"name": name, **band} for name in spec.bands],
    }


def _model(manifest: Manifest) -> dict[str, Any]:
    versions, members = manifest.provenance.versions, manifest.members
    framework = versions.get("onnx", "")
    runtime = f"ONNX Runtime {versions['onnxruntime']}" if "onnxruntime" in versions else "ONNX Runtime"
    return {
        "mlm:name": f"Chipvote {manifest.name}".rstrip("._-"),
        "mlm:architecture": f"ensemble of {', '.join(member.architecture for member in members)}",
        "mlm:tasks": ["classification"],
        "mlm:framework": "ONNX",
        **({"mlm:framework_version": framework} if _SEMANTIC.fullmatch(framework) else {}),
        "mlm:batch_size_suggestion": BATCH,
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:accelerator_summary": f"{runtime}, on a CPU or an NVIDIA GPU",
        "mlm:input": [_input(manifest)],
        "mlm:output": [_output(manifest)],
        "mlm:hyperparameters": {
            **manifest.decision.model_dump(mode="json"),
            "members": [member.name for member in members],
        },
    }


def _input(manifest: Manifest) -> dict[str, Any]:
    spec = manifest.input
    return {
        "name": INPUT,
        "description": "raw pixel values: resizing and scaling are inside the graphs",
        "bands": list(spec.bands),
        "input": {
            "shape": [-1, spec.height, spec.width, len(spec.bands)],
            "dim_order": ["batch", "height", "width", "bands"],
            "data_type": spec.dtype,
        },
        "value_scaling": None,
        "resize_type": None,
        "pre_processing_function": None,
    }


def _output(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": PROBABILITIES,
        "description": "of each member; the rule in mlm:hyperparameters makes a label set of them",
        "tasks": ["classification"],
        "result": {
            "shape": [-1, len(manifest.labels)],
            "dim_order": ["batch", "class"],
            "data_type": "float32",
        },
        "classification:classes": [
            {"value": index, "name": _plain(label.name, "_-"), "description": f"{label.name} ({label.group})"}
            for index, label in enumerate(manifest.labels)
        ],
        "post_processing_function": {
            "format": "python",
            "expression": "service.contract.bundle:Bundle.decider",
        },
    }


def _assets(bundle: Bundle, base: str) -> dict[str, Any]:
    manifest = bundle.manifest
    bands = [{"name": name} for name in manifest.input.bands]  # or STAC allows none in the properties
    assets = {
        f"{member.name}-{precision}": {**_graph(base, member, precision), "bands": bands}
        for member in manifest.members
        for precision in sorted(member.graphs)
    }
    sealed = reference(bundle.folder, MANIFEST)
    assets["manifest"] = _asset(base, sealed, "application/json", "Manifest", ["metadata"])
    title = "Generated chips and the answers that they must get"
    assets["golden"] = _asset(base, manifest.golden, "application/octet-stream", title, ["data"])
    if (bundle.folder / CARD).is_file():
        card = reference(bundle.folder, CARD)
        assets["card"] = _asset(base, card, "text/markdown", "Model card", ["metadata"])
    return assets


def _graph(base: str, member: Member, precision: Precision) -> dict[str, Any]:
    title = f"{member.name}, {precision}"
    media, roles = "application/octet-stream; framework=onnx", ["mlm:model", "mlm:weights", "data"]
    asset = _asset(base, member.graphs[precision].file, media, title, roles)
    device = {"mlm:accelerator": "cuda"} if precision == "float16" else {}
    return {**asset, "mlm:artifact_type": "onnx", **device}


def _asset(base: str, file: FileRef, media: str, title: str, roles: Sequence[str]) -> dict[str, Any]:
    return {
        "href": _at(base, file.path),
        "type": media,
        "title": title,
        "roles": list(roles),
        "file:size": file.size_bytes,
        "file:checksum": _SHA256 + file.sha256,
    }


def _link(relation: str, base: str, path: str, media: str) -> dict[str, str]:
    return {"rel": relation, "href": _at(base, path), "type": media}


def _at(base: str, path: str) -> str:
    start = base if "://" in base else quote(base)
    return f"{start.rstrip('/')}/{quote(path)}"


def _plain(text: str, more: str) -> str:
    return re.sub(f"[^0-9A-Za-z{re.escape(more)}]", "_", text)


def _rectangle(bbox: Box) -> dict[str, Any]:
    """Return a box's area, in two parts if it lies across the antimeridian."""
    west, south, east, north = bbox
    parts = [
        [[[left, south], [right, south], [right, north], [left, north], [left, south]]]
        for left, right in ([(west, east)] if west <= east else [(west, 180), (-180, east)])
    ]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}
