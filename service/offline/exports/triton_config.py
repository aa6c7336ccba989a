"""What Triton is told of each model: the text of its `config.pbtxt`.

Knows names, types and shapes; no file and no graph.

Source: Triton Inference Server, "Model Configuration" and "Ensemble Models".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from service.contract.manifest import INPUT, PROBABILITIES, InputSpec

Backend = Literal["onnxruntime", "python"]
TYPES = {"uint8": "TYPE_UINT8", "uint16": "TYPE_UINT16", "int16": "TYPE_INT16", "float32": "TYPE_FP32"}
KINDS = {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}
LABELS_FILE = "labels.txt"


def vote_name(name: str) -> str:
    """Name the model that votes, after the ensemble's."""
    return f"{name}_vote"


def member_name(name: str, index: int) -> str:
    """Name a member's model, after the ensemble's; its own name may hold what no folder's can."""
    return f"{name}_member_{index}"


def member_config(
    name: str,
    spec: InputSpec,
    labels: int,
    *,
    backend: Backend,
    device: Literal["cpu", "cuda"],
    max_batch: int,
    parameters: Mapping[str, str],
) -> str:
    """Describe one member: chips (B,H,W,C) → probabilities (B,L)."""
    platform = 'platform: "onnxruntime_onnx"' if backend == "onnxruntime" else 'backend: "python"'
    return _config(
        name,
        platform,
        max_batch,
        inputs=[_chips(spec)],
        outputs=[_tensor(PROBABILITIES, "TYPE_FP32", [labels])],
        rest=[
            f"instance_group [ {{ kind: {KINDS[device]} count: 1 }} ]",
            "dynamic_batching { }",
            *_parameters(parameters),
        ],
    )


def vote_config(name: str, members: int, labels: int, max_batch: int) -> str:
    """Describe the vote: every member's probabilities → decisions."""
    return _config(
        name,
        'backend: "python"',
        max_batch,
        inputs=[_tensor(_of_member(index), "TYPE_FP32", [labels]) for index in range(members)],
        outputs=_decisions(labels),
        rest=["instance_group [ { kind: KIND_CPU count: 1 } ]", "dynamic_batching { }"],
    )


def ensemble_config(
    name: str, spec: InputSpec, members: int, labels: int, max_batch: int, parameters: Mapping[str, str]
) -> str:
    """Describe the way of a chip: through all members, side by side, into the vote."""
    steps = [
        _step(member_name(name, index), {INPUT: INPUT}, {PROBABILITIES: _of_member(index)})
        for index in range(members)
    ]
    inner = [_of_member(index) for index in range(members)]
    steps.append(_step(vote_name(name), {of: of for of in inner}, {of: of for of in _OUTPUTS}))
    return _config(
        name,
        'platform: "ensemble"',
        max_batch,
        inputs=[_chips(spec)],
        outputs=_decisions(labels),
        rest=[
            "ensemble_scheduling {\n  step [\n    " + ",\n    ".join(steps) + "\n  ]\n}",
            *_parameters(parameters),
        ],
    )


_OUTPUTS = {"labels": "TYPE_BOOL", "votes": "TYPE_INT64", "probabilities": "TYPE_FP64"}


def _of_member(index: int) -> str:
    return f"{PROBABILITIES}_{index}"


def _chips(spec: InputSpec) -> str:
    return _tensor(INPUT, TYPES[spec.dtype], [spec.height, spec.width, len(spec.bands)])


def _decisions(labels: int) -> list[str]:
    named = f" label_filename: {json.dumps(LABELS_FILE)}"  # for clients that ask for the best few
    return [
        _tensor(name, dtype, [labels], named if name == PROBABILITIES else "")
        for name, dtype in _OUTPUTS.items()
    ]


def _tensor(name: str, dtype: str, shape: Sequence[int], more: str = "") -> str:
    return f"{{ name: {json.dumps(name)} data_type: {dtype} dims: {list(shape)}{more} }}"


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    maps = [("input_map", inputs), ("output_map", outputs)]
    pairs = [
        f"{kind} {{ key: {json.dumps(key)} value: {json.dumps(value)} }}"
        for kind, pairs in maps
        for key, value in pairs.items()
    ]
    return "{ model_name: " + json.dumps(model) + " model_version: -1 " + " ".join(pairs) + " }"


def _parameters(values: Mapping[str, str]) -> list[str]:
    return [
        f"parameters {{ key: {json.dumps(key)} value {{ string_value: {_quoted(value)} }} }}"
        for key, value in values.items()
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # protobuf's text has no \u for what is beyond 16 bits


def _config(
    name: str,
    platform: str,
    max_batch: int,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    rest: Sequence[str],
) -> str:
    parts = [
        f"name: {json.dumps(name)}",
        platform,
        f"max_batch_size: {max_batch}",
        "input [\n  " + ",\n  ".join(inputs) + "\n]",
        "output [\n  " + ",\n  ".join(outputs) + "\n]",
        *rest,
    ]
    return "\n".join(parts) + "\n"
