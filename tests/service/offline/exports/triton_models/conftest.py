"""What Triton's Python has and ours lacks: its module for models, as far as ours use it."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest


class Tensor(NamedTuple):
    name: str
    array: npt.NDArray[Any]

    def __dlpack__(self, **options: Any) -> Any:  # noqa: ANN401
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:  # noqa: ANN401
        return self.array.__dlpack_device__()


@pytest.fixture(autouse=True)
def backend_utils(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module: Any = ModuleType("triton_python_backend_utils")
    module.Tensor = Tensor
    module.InferenceResponse = lambda tensors: {name: array for name, array in tensors}
    module.get_input_tensor_by_name = lambda request, name: Tensor(name, np.asarray(request[name]))
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("member", "vote"):
        sys.modules.pop(f"service.offline.exports.triton_models.{name}", None)
