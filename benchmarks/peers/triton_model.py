"""The model that `triton_server.py` gives to Triton's Python backend."""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from pydantic_core import to_json

from benchmarks.peers.common import Model, Settings, decode


class TritonPythonModel:
    """Bytes in, labels out."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle in an instance's process."""
        self.model = Model(Settings())

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer what Triton's batcher put together."""
        chips_HWC = [
            decode(pb_utils.get_input_tensor_by_name(request, "chip").as_numpy().item()) for request in requests
        ]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("answer", np.array([[to_json(answer)]], np.object_))])
            for answer in self.model.answers(chips_HWC)
        ]
