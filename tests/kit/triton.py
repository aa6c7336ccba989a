"""A real Triton, from the wheel of PyTriton, which carries the server with its Python backend.

It is installed in an environment of its own (`make triton`); tests skip themselves without it.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import numpy.typing as npt
import pytest

from tests.kit.nginx import free_port
from tests.kit.serving import ROOT

PYTHON = ROOT / ".venv-triton/bin/python"
_PLACES = """
import json, sys, sysconfig, pytriton
print(json.dumps([pytriton.__file__, "%d.%d" % sys.version_info[:2], sysconfig.get_config_var("LIBDIR")]))
"""


class Places(NamedTuple):
    """Where the parts of the server lie."""

    home: Path
    stub: Path
    libraries: str


@cache
def places() -> Places:
    """Find the server, or skip the test."""
    if not PYTHON.exists():
        pytest.skip("no Triton; make triton")
    done = subprocess.run([PYTHON, "-c", _PLACES], capture_output=True, text=True, check=True)
    package, version, libraries = json.loads(done.stdout)
    home = Path(package).with_name("tritonserver")
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    return Places(home, stub, libraries)


@contextmanager
def triton(folder: Path, *repositories: Path) -> Iterator[httpx2.Client]:
    """Serve model repositories on the loopback address; yield a client of the server."""
    found, backends = places(), folder / "backends"
    (backends / "python").mkdir(parents=True)
    for file in [*(found.home / "backends/python").iterdir(), found.stub]:
        (backends / "python" / file.name).symlink_to(file)
    port = free_port()
    command = [
        str(found.home / "bin/tritonserver"),
        *(f"--model-repository={repository}" for repository in repositories),
        f"--backend-directory={backends}",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--log-info=false",
    ]
    environment = {
        # The backend's stub embeds the interpreter that PATH leads to, and needs its library.
        "LD_LIBRARY_PATH": found.libraries,
        "PATH": os.pathsep.join([str(PYTHON.parent), os.environ["PATH"]]),
    }
    log = folder / "log"
    with log.open("wb") as stream, subprocess.Popen(command, env=environment, stderr=stream) as server:
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                _wait(server, client, log)
                yield client
        finally:
            server.terminate()


def infer(
    client: httpx2.Client, model: str, inputs: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Ask a model by the KServe protocol, version 2, with its extension for binary tensors."""
    tensors = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": {"uint8": "UINT8", "float32": "FP32"}[array.dtype.name],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in inputs.items()
    ]
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": False}}).encode()
    response = client.post(
        f"/v2/models/{model}/infer",
        content=head + b"".join(array.tobytes() for array in inputs.values()),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert response.status_code == 200, response.text
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in response.json()["outputs"]}


def _wait(server: subprocess.Popen[bytes], client: httpx2.Client, log: Path) -> None:
    until_s = time.monotonic() + 600
    while time.monotonic() < until_s:
        assert server.poll() is None, log.read_text()
        try:
            if client.get("/v2/health/ready").status_code == 200:
                return
        except httpx2.RequestError:
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text())
