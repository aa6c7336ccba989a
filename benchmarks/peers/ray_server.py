"""Ray Serve: replicas that take raw bodies and batch decoded chips."""

import asyncio
import os
import tempfile
import time

# Serve's own switch for throughput, read at its import. It would also open a port of every replica
# on all interfaces, which is left off.
os.environ |= {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}

import ray
from pydantic_core import to_json
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.common import HOST, Answer, Chip, Model, Settings, decode

SETTINGS = Settings()


@serve.deployment(num_replicas=SETTINGS.workers, max_ongoing_requests=256)
class Chips:
    """Bytes in, labels out."""

    def __init__(self) -> None:
        self.model = Model(Settings())

    @serve.batch(max_batch_size=SETTINGS.batch, batch_wait_timeout_s=SETTINGS.wait_ms / 1000)
    async def answers(self, chips_HWC: list[Chip]) -> list[Answer]:
        """Answer what waits; in a thread, so that the replica goes on reading requests."""
        return await asyncio.to_thread(self.model.answers, chips_HWC)

    async def __call__(self, request: Request) -> Response:
        """Answer one chip."""
        chip_HWC = await asyncio.to_thread(decode, await request.body())
        return Response(to_json(await self.answers(chip_HWC)), media_type="application/json")


def main() -> None:
    """Start one node with what a server needs, and serve until it is killed."""
    ray.init(
        _temp_dir=tempfile.gettempdir(), _node_ip_address=HOST, include_dashboard=False, log_to_driver=False
    )
    serve.start(
        http_options={"host": HOST, "port": SETTINGS.port}, logging_config={"enable_access_log": False}
    )
    serve.run(Chips.bind(), route_prefix="/predict")  # type: ignore[attr-defined]
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
