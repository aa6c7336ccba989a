"""Bundles that want a service's time, memory or files, each with what is said of it."""

import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service.contract.archive import MAX_BYTES
from service.contract.bundle import MANIFEST, MAX_MANIFEST_BYTES, reference
from tests.kit.fakes import SIZE_PX, linear_members
from tests.kit.onnx_bytes import FLOAT, UINT8, field, node, tensor, value

GRAPH, GOLDEN = "member0.float32.onnx", "golden.npz"

Spoil = Callable[[Path], None]


def write(folder: Path, facts: dict[str, Any]) -> None:
    """Write a manifest that says what it says on purpose."""
    facts.pop("seal", None)
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    facts["seal"] = hashlib.sha256(canonical.encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(facts))


def seal_again(folder: Path) -> None:
    """Have the manifest say what its files are now."""
    facts = json.loads((folder / MANIFEST).read_text())
    for ref in (
        facts["golden"],
        *(graph["file"] for m in facts["members"] for graph in m["graphs"].values()),
    ):
        ref.update(reference(folder, ref["path"]).model_dump())
    write(folder, facts)


def replaced(name: str, data: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(data)
        seal_again(folder)

    return spoil


def told(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        facts = json.loads((folder / MANIFEST).read_text())
        change(facts)
        write(folder, facts)

    return spoil


def manifest_of(text: Callable[[], bytes]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / MANIFEST).write_bytes(text())

    return spoil


def sparse_manifest(folder: Path) -> None:
    os.truncate(folder / MANIFEST, 3 << 30)


def pipe_in_place_of(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def link_in_place_of(name: str, target: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return spoil


def with_nodes(*nodes: bytes, graph_fields: bytes = b"", model_fields: bytes = b"") -> Spoil:
    """A graph that also has these nodes and fields."""
    whole = linear_members()[0].graph()
    body = b"".join(field(1, part) for part in nodes) + graph_fields
    # Repeated messages are merged, as protobuf says: nodes come on top.
    return replaced(GRAPH, whole + (field(7, body) if body else b"") + model_fields)


def with_graph_inside(operator: str, attribute: str = "body", number: int = 6) -> Spoil:
    inner = field(2, "inner") + field(12, value("out", FLOAT, [1]))
    return with_nodes(
        field(1, "logits")
        + field(2, "y")
        + field(4, operator)
        + field(5, field(1, attribute) + field(number, inner))
    )


def external(name: str) -> bytes:
    where = field(1, "location") + field(2, name)
    return field(1, 4) + field(2, FLOAT) + field(8, "w") + field(13, where) + field(14, 1)


def constant_graph(count: int) -> bytes:
    """A graph whose bias is a sum over a constant of so many zeros."""
    nodes = [
        node("Cast", ["chips"], "floats", to=FLOAT),
        node("ReduceMean", ["floats"], "means", axes=[1, 2], keepdims=0),
        node("MatMul", ["means", "weights"], "products"),
        node("ConstantOfShape", ["count"], "zeros"),
        node("ReduceMax", ["zeros"], "zero", keepdims=0),
        node("Add", ["products", "zero"], "logits"),
        node("Sigmoid", ["logits"], "probabilities"),
        node("Unsqueeze", ["logits", "axes"], "evidence"),
    ]
    constants = [
        tensor("weights", linear_members()[0].weights_CL),
        tensor("axes", np.array([2, 3])),
        tensor("count", np.array([count])),
    ]
    body = field(2, "tiny") + b"".join(field(1, part) for part in nodes)
    body += b"".join(field(5, part) for part in constants)
    body += field(11, value("chips", UINT8, ["B", SIZE_PX, SIZE_PX, 3]))
    body += field(12, value("probabilities", FLOAT, ["B", 4])) + field(
        12, value("evidence", FLOAT, ["B", 4, 1, 1])
    )
    return field(1, 8) + field(8, field(1, "") + field(2, 13)) + field(7, body)


def golden(
    change: Callable[[dict[str, Any]], object] = lambda _: None, pack: int = zipfile.ZIP_DEFLATED
) -> Spoil:
    """Golden chips that are written by hand, with other arrays or heads."""

    def spoil(folder: Path) -> None:
        arrays: dict[str, Any] = dict(np.load(folder / GOLDEN))
        change(arrays)
        with zipfile.ZipFile(folder / GOLDEN, "w", pack) as archive:
            for name, array in arrays.items():
                stream = io.BytesIO()
                if isinstance(array, bytes):
                    stream.write(array)
                else:
                    np.save(stream, array)
                archive.writestr(f"{name}.npy", stream.getvalue())
        seal_again(folder)

    return spoil


def head(shape: str, dtype: str = "|u1", version: int = 1) -> bytes:
    """An array's first bytes, and nothing of what they promise."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text


def promised(count: int) -> Callable[[dict[str, Any]], object]:
    """Heads of so many golden chips, all that the manifest wants of them."""

    def change(arrays: dict[str, Any]) -> None:
        arrays["chips"] = head(f"({count}, {SIZE_PX}, {SIZE_PX}, 3)")
        arrays["labels"] = head(f"({count}, 4)", "|b1")
        arrays["probabilities_float32"] = head(f"(3, {count}, 4)", "<f4")

    return change


def bomb(folder: Path) -> None:
    """Golden chips that pack well: some hundred MB of zeros in less than one."""
    count = MAX_BYTES // (SIZE_PX * SIZE_PX * 3) + 1
    arrays: dict[str, Any] = {}
    promised(count)(arrays)
    with zipfile.ZipFile(folder / GOLDEN, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, first in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=False) as stream:
                stream.write(first)
                rest = {"chips": SIZE_PX * SIZE_PX * 3, "labels": 4}.get(name, 48) * count
                for start in range(0, rest, 1 << 20):
                    stream.write(bytes(min(1 << 20, rest - start)))
    seal_again(folder)


def listed(folder: Path) -> None:
    """An archive of very many empty files."""
    with zipfile.ZipFile(folder / GOLDEN, "a") as archive:
        for index in range(200):
            archive.writestr(f"{index}", b"")
    seal_again(folder)


KINDS: dict[str, tuple[Spoil, str]] = {
    "manifest nested deeply": (manifest_of(lambda: b"[" * 200_000), "nested too deeply"),
    "manifest nested in a key": (
        manifest_of(lambda: b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
        "nested too deeply",
    ),
    "manifest of 3 GB": (sparse_manifest, f"larger than {MAX_MANIFEST_BYTES} bytes"),
    "manifest of very many values": (
        manifest_of(lambda: b"[" + b"0," * 1_000_000 + b"0]"),
        "more than 250000 values",
    ),
    "manifest with very many faults": (
        told(lambda facts: facts.update(labels=[0] * 100_000)),
        "labels.0: Input should be a valid dictionary",
    ),
    "manifest with an endless number": (
        manifest_of(lambda: b'{"schema_version": 1' + b"0" * 100_000 + b"}"),
        "no JSON",
    ),
    "manifest that is a pipe": (pipe_in_place_of(MANIFEST), "cannot be read"),
    "manifest that is a device": (link_in_place_of(MANIFEST, "/dev/zero"), "cannot be read"),
    "file said to be of 3 GB": (
        told(lambda facts: facts["golden"].update(size_bytes=3 << 30)),
        "golden.size_bytes: Input should be less than",
    ),
    "path upwards": (
        told(lambda facts: facts["golden"].update(path="../golden.npz")),
        "leaves the bundle's folder",
    ),
    "path that no file can have": (
        told(lambda facts: facts["golden"].update(path="a\0b")),
        "is no name of a file",
    ),
    "path of very many letters": (
        told(lambda facts: facts["golden"].update(path="a" * 9999)),
        "at most 255 characters",
    ),
    "link out of the folder": (link_in_place_of(GOLDEN, "/etc/passwd"), "a link leads out"),
    "link to itself": (link_in_place_of(GOLDEN, GOLDEN), "golden.npz: "),
    "link to a device": (link_in_place_of(GRAPH, "/dev/zero"), "a link leads out"),
    "golden that is a pipe": (pipe_in_place_of(GOLDEN), "is no file"),
    "graph that is a pipe": (pipe_in_place_of(GRAPH), "is no file"),
    "golden that unpacks to much": (bomb, "at most are read"),
    "golden whose heads promise much": (golden(promised(10**12)), "is cut short"),
    "golden with a long list of files": (listed, "lists 203 files"),
    "golden packed with LZMA": (golden(pack=zipfile.ZIP_LZMA), "not packed as numpy.savez does"),
    "golden with a long head": (
        golden(lambda arrays: arrays.update(chips=head("(4,)", version=2))),
        "not written as numpy.savez does",
    ),
    "golden of other numbers": (
        golden(lambda arrays: arrays.update(labels=arrays["labels"].astype("M8[s]"))),
        "labels must be",
    ),
    "golden without an end": (replaced(GOLDEN, b"PK\3\4" + bytes(1000)), "its end is missing"),
    "empty golden": (replaced(GOLDEN, b""), "not a readable npz"),
    "graph with a loop": (with_graph_inside("Loop"), "uses 'Loop' with a graph inside"),
    "graph with a branch": (with_graph_inside("If", "then_branch"), "uses 'If' with a graph inside"),
    "graph with a scan": (with_graph_inside("Scan"), "uses 'Scan' with a graph inside"),
    "graph with graphs inside": (
        with_graph_inside("Custom", "graphs", 11),
        "uses 'Custom' with a graph inside",
    ),
    "graph with functions": (with_nodes(model_fields=field(25, field(1, "f"))), "has functions"),
    "weights from another file": (
        with_nodes(graph_fields=field(5, external("../../etc/passwd"))),
        "takes weights from another file",
    ),
    "constant from another file": (
        with_nodes(
            field(2, "y") + field(4, "Constant") + field(5, field(1, "value") + field(5, external("w.bin")))
        ),
        "takes weights from another file",
    ),
    "sparse weights": (with_nodes(graph_fields=field(15, field(1, external("w.bin")))), "sparse weights"),
    "sparse constant": (
        with_nodes(
            field(2, "y") + field(4, "Constant") + field(5, field(1, "sparse_value") + field(22, b""))
        ),
        "sparse constants",
    ),
    "weights that are not there": (
        with_nodes(graph_fields=field(5, field(1, 10**12) + field(2, FLOAT) + field(8, "w"))),
        "has a constant of 1e+12 numbers",
    ),
    "graph of very many parts": (replaced(GRAPH, field(7, b"\x08\0" * 1_000_001)), "more than 1000000 parts"),
    "graph that is cut short": (replaced(GRAPH, linear_members()[0].graph()[:-9]), "cut short"),
    "graph that is none": (replaced(GRAPH, b"<html>not a graph</html>"), "no ONNX graph"),
    "empty graph": (replaced(GRAPH, b""), GRAPH),
    "unknown operator": (
        with_nodes(node("Nothing", ["logits"], "y")),
        "no usable graph",
    ),
    "huge constant": (replaced(GRAPH, constant_graph(10**12)), "does not run"),
}
