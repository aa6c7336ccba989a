"""A real nginx before a service, for tests of what a proxy makes of it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(not NGINX, reason="nginx is not installed (apt install nginx-light)")

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


@contextmanager
def nginx(folder: Path, locations: str) -> Iterator[str]:
    """Run nginx with these locations; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Its workers would otherwise be nobody, who may not see a test's folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(user=user, port=port, locations=locations))
    running = subprocess.Popen(
        [str(NGINX), "-p", str(folder), "-c", str(configuration)], stderr=subprocess.DEVNULL
    )
    try:
        while True:
            assert running.poll() is None, (folder / "error.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()
