"""Triton with its Python backend, from the wheel of PyTriton, which carries the server.

A raw body is Triton's raw binary request: the header `Inference-Header-Content-Length: 0` says that
the body is the one input, without JSON before it. The answer's JSON is the output, a string.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytriton

from benchmarks.peers.common import HOST, Settings

CONFIG = """
name: "chips"
backend: "python"
max_batch_size: {batch}
input [{{ name: "chip", data_type: TYPE_UINT8, dims: [-1], allow_ragged_batch: true }}]
output [{{ name: "answer", data_type: TYPE_UINT8, dims: [-1] }}]
instance_group [{{ kind: KIND_CPU, count: {workers} }}]
dynamic_batching {{ max_queue_delay_microseconds: {wait_us} {policy} }}
"""
POLICY = """default_queue_policy {{
    timeout_action: REJECT, default_timeout_microseconds: {deadline_us}, max_queue_size: {queue}
}}"""


def main() -> None:
    """Write a model repository and become the server."""
    settings = Settings()
    repository = Path(tempfile.mkdtemp(prefix="triton-"))
    (repository / "chips" / "1").mkdir(parents=True)
    (repository / "chips" / "1" / "model.py").symlink_to(Path(__file__).with_name("triton_model.py"))
    tight = POLICY.format(deadline_us=settings.deadline_s * 1_000_000, queue=settings.queue)
    config = CONFIG.format(
        batch=settings.batch,
        workers=settings.workers,
        wait_us=settings.wait_ms * 1000,
        policy=tight if settings.limits == "tight" else "",
    )
    (repository / "chips" / "config.pbtxt").write_text(config)
    home = Path(pytriton.__file__).with_name("tritonserver")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    backend = Path(tempfile.mkdtemp(prefix="triton-backend-"))
    (backend / "python").mkdir()
    for file in [*(home / "backends" / "python").iterdir(), stub]:
        (backend / "python" / file.name).symlink_to(file)
    environment = {
        **os.environ,
        # The backend's stub embeds the interpreter that PATH leads to, and needs its library.
        "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    server = home / "bin" / "tritonserver"
    options = {
        "model-repository": repository,
        "backend-directory": backend,
        "http-address": HOST,
        "http-port": settings.port,
        "allow-grpc": "false",
        "allow-metrics": "false",
        "log-info": "false",
    }
    command = [str(server), *(f"--{name}={value}" for name, value in options.items())]
    os.execve(server, command, environment)


if __name__ == "__main__":
    main()
