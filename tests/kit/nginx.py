"""A real nginx before a service, for tests of what a proxy makes of it.

`nginx` is one as it is by itself, `edge` the one of the compose file: its start script and its
configuration, with nothing changed but addresses, folders and the user.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.serving import ROOT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(not NGINX, reason="nginx is not installed (apt install nginx-light)")

NAMED = "server chipvote:8000 resolve max_fails=0;"
RESOLVER = "resolver 127.0.0.11 valid=2s ipv6=off;"

_CONFIGURATION = """
{user}
worker_processes 1; daemon off; pid nginx.pid; error_log error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{port}; {locations} }}
}}
"""  # noqa: E501


# Its workers would otherwise be nobody, who may not see a test's folder.
_USER = "user root root;" if os.geteuid() == 0 else ""


@contextmanager
def nginx(folder: Path, locations: str) -> Iterator[str]:
    """Run nginx with these locations; yield its address."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(user=_USER, port=port, locations=locations))
    with _running([str(NGINX), "-p", str(folder), "-c", str(configuration)], port, folder / "error.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def edge(folder: Path, *services: str, changes: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the compose file's nginx before services (host and port of each); yield its address.

    `folder` is empty, or has a certificate in `edge/tls`; `changes` are to the configuration, and
    come first.
    """
    port = free_port()
    place = folder / "edge"
    shutil.copytree(ROOT / "deploy/edge", place, dirs_exist_ok=True)
    replaced = {
        **(changes or {}),
        "/tmp/": f"{folder}/",
        "listen 8443": f"listen 127.0.0.1:{port}",
        "worker_processes auto;": f"worker_processes 1; {_USER}",
    }
    if services:  # in place of a name of Docker's, in nginx's words from 1.27.3 on
        replaced |= {NAMED: "\n".join(f"server {one} max_fails=0;" for one in services), RESOLVER: ""}
    configuration = (place / "nginx.conf").read_text()
    for before, after in replaced.items():
        assert before in configuration, before
        configuration = configuration.replace(before, after)
    (place / "nginx.conf").write_text(configuration)
    start = place / "start.sh"
    start.write_text(start.read_text().replace("/tmp/", f"{folder}/"))
    with _running(["sh", str(start)], port, folder / "error.log"):
        yield f"https://127.0.0.1:{port}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run nginx until the block ends; the log takes what it says before it has one of its own."""
    environment = {**os.environ, "EDGE_NAME": "chips.example", "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with log.open("w") as said:
        running = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    try:
        while True:
            assert running.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        yield
    finally:
        running.terminate()
        running.wait()
