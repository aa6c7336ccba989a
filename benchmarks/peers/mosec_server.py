"""mosec: a Rust front, one stage of Python processes that decode and run batches of raw bodies."""

import sys

from mosec import Server, Worker
from pydantic_core import to_json

from benchmarks.peers.common import HOST, Answer, Chip, Model, Settings, decode


class Chips(Worker):  # type: ignore[misc]
    """Bytes in, labels out."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(Settings())

    def deserialize(self, data: bytes) -> Chip:
        """Decode one chip."""
        return decode(data)

    def forward(self, data: list[Chip] | Chip) -> list[Answer] | Answer:
        """Answer a batch, or the single chip that comes when batching is off."""
        return self.model.answers(data) if isinstance(data, list) else self.model.answers([data])[0]

    def serialize(self, data: Answer) -> bytes:
        """Write one answer as JSON."""
        return to_json(data)


if __name__ == "__main__":
    settings = Settings()
    # mosec reads its own settings from the command line.
    sys.argv += [
        "--address",
        HOST,
        "--port",
        str(settings.port),
        "--log-level",
        "warning",
        "--timeout",
        "120000",
    ]
    server = Server()
    server.append_worker(
        Chips, num=settings.workers, max_batch_size=settings.batch, max_wait_time=settings.wait_ms
    )
    server.run()
