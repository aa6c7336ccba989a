"""The vote: all members' probabilities → label sets, by the bundle's own rule.

`triton.py` copies this file into the repository as `model.py`, beside `rule.json` and the sources
that decide in the service. It needs Python 3.11, NumPy and pydantic.

Shape suffixes: M members, B chips, L labels.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """A tensor of probabilities for each member in, decisions out."""

    def initialize(self, args: dict[str, str]) -> None:
        """Build the rule."""
        folder = Path(args["model_repository"]) / args["model_version"]
        sys.path.insert(0, str(folder))  # before any other package of that name
        from pydantic import TypeAdapter

        from service.contract.rules import Rule

        rule: Rule = TypeAdapter(Rule).validate_json((folder / "rule.json").read_bytes())
        self._decider = rule.decider()
        self._inputs = [tensor["name"] for tensor in json.loads(args["model_config"])["input"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decide each request's chips."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:  # noqa: ANN401
        tensors = [pb_utils.get_input_tensor_by_name(request, name) for name in self._inputs]
        # DLPack, not `as_numpy`: with NumPy 2 some versions' own arrays have strides of zero.
        decision = self._decider.decide(np.stack([np.from_dlpack(tensor) for tensor in tensors]))
        outputs = {
            "labels": decision.labels_BL,
            "votes": decision.votes_BL,
            "probabilities": decision.probabilities_BL,
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])
