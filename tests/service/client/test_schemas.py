import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVER = {"fastapi", "starlette", "uvicorn", "onnxruntime", "numpy", "pydantic", "PIL", "prometheus_client"}


@pytest.mark.parametrize("module", ["service.client.schemas", "service.client.client"])
def test_the_client_s_side_needs_nothing_of_the_server(module: str) -> None:
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded = set(done.stdout.split())
    assert "service" in loaded
    assert not loaded & SERVER
