"""LitServe: decoding, graphs and encoding in worker processes, batched by LitServe.

A request annotated as a body of bytes arrives raw; LitServe's default parses JSON or a form.
"""

from typing import Annotated, Any

import litserve
from fastapi import Body, Response
from pydantic_core import to_json

from benchmarks.peers.common import HOST, Answer, Chip, Model, Settings, decode


class Chips(litserve.LitAPI):  # type: ignore[misc]
    """Bytes in, labels out."""

    def setup(self, device: str) -> None:
        """Open the bundle in a worker process."""
        self.model = Model(Settings())

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> Chip:
        """Decode one chip."""
        return decode(request)

    def batch(self, inputs: list[Chip]) -> list[Chip]:
        """Leave the stacking to the model."""
        return inputs

    def predict(self, inputs: Any) -> Any:  # noqa: ANN401
        """Answer a batch, or the single chip that comes when batching is off."""
        return self.model.answers(inputs) if isinstance(inputs, list) else self.model.answers([inputs])[0]

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """Give every request its own."""
        return output

    def encode_response(self, output: Answer) -> Response:
        """Write one answer as JSON."""
        return Response(to_json(output), media_type="application/json")


if __name__ == "__main__":
    settings = Settings()
    timeouts = {"wide": False, "default": 30, "tight": settings.deadline_s}
    # uvicorn's, which counts the connections of each process; there is one for each worker.
    tight = {"limit_concurrency": settings.queue // settings.workers}
    api = Chips(max_batch_size=settings.batch, batch_timeout=settings.wait_ms / 1000)
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=settings.workers,
        fast_queue=True,
        timeout=timeouts[settings.limits],
    )
    server.run(
        host=HOST,
        port=settings.port,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
        **(tight if settings.limits == "tight" else {}),
    )
