"""One member, for a Triton without a backend for ONNX.

`triton.py` copies this file into the repository as `model.py`, beside `model.onnx`.

Shape suffixes: B chips, H height, W width, C bands.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Chips in, a member's probabilities out."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph, with the kernels that it needs on this processor."""
        folder = Path(args["model_repository"]) / args["model_version"]
        sys.path.insert(0, str(folder))  # before any other package of that name
        from service.contract.onnx_runtime import needs_exact, open_session

        told = {
            key: value["string_value"]
            for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        exact = needs_exact(told["bounded"] == "true", told["precision"])
        self._session = open_session(folder / "model.onnx", exact=exact)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run what Triton's batcher put together as one batch."""
        # DLPack, not `as_numpy`: with NumPy 2 some versions' own arrays have strides of zero.
        chips = [np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "chips")) for request in requests]
        (probs_BL,) = self._session.run(["probabilities"], {"chips": np.concatenate(chips)})
        ends = np.cumsum([len(chips_BHWC) for chips_BHWC in chips])
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("probabilities", part_BL)])
            for part_BL in np.split(probs_BL, ends[:-1])
        ]
