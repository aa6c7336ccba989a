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
        # DLPack, not `as_numpy`: with NumPy 2 the backend's own arrays have strides of zero.
        bodies = [np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "chip")) for request in requests]
        answers = self.model.answers([decode(body.tobytes()) for body in bodies])
        return [pb_utils.InferenceResponse([_tensor(to_json(answer))]) for answer in answers]


def _tensor(text: bytes) -> Any:  # noqa: ANN401
    return pb_utils.Tensor.from_dlpack("answer", np.frombuffer(bytearray(text), np.uint8)[None])
