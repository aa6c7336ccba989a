"""BentoML: a service whose API takes a raw body as its root input, batched by BentoML.

The input is Pillow's image, BentoML's own way to take pictures: it opens the body, and the
service converts it to the graphs' shape.
"""

import os
import sys
from pathlib import Path

import bentoml
import numpy as np
from PIL.Image import Image

from benchmarks.peers.common import HOST, Answer, Model, Settings, fit

SETTINGS = Settings()


@bentoml.service(workers=SETTINGS.workers, traffic={"timeout": 120, "max_concurrency": 512})
class Chips:
    """Bytes in, labels out."""

    def __init__(self) -> None:
        self.model = Model(Settings())

    @bentoml.api(batchable=True, max_batch_size=SETTINGS.batch, max_latency_ms=60_000)
    def predict(self, images: list[Image]) -> list[Answer]:
        """Answer a batch."""
        return self.model.answers([np.asarray(fit(image)) for image in images])


if __name__ == "__main__":
    command = Path(sys.executable).with_name("bentoml")
    service = "benchmarks.peers.bentoml_server:Chips"
    os.execv(command, [str(command), "serve", service, "--host", HOST, "--port", str(SETTINGS.port)])
