"""BentoML: a service whose API takes a raw body as its root input, batched by BentoML.

The input is Pillow's image, BentoML's own way to take pictures: it opens the body, and the
service converts it to the graphs' shape.
"""

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from PIL.Image import Image
from pydantic_core import to_json
from starlette.responses import Response

from benchmarks.peers.common import HOST, Answer, Model, Settings, fit

SETTINGS = Settings()
CONFIG: dict[str, dict[str, Any]] = {
    "wide": {"threads": 4, "traffic": {"timeout": 120, "max_concurrency": 512}},
    "default": {},
    "tight": {"traffic": {"timeout": SETTINGS.deadline_s, "max_concurrency": SETTINGS.queue}},
}


@bentoml.service(
    workers=SETTINGS.workers,
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    **CONFIG[SETTINGS.limits],
)
class Chips:
    """Bytes in, labels out."""

    def __init__(self) -> None:
        self.model = Model(Settings())

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, image: Image, /) -> Answer:
        """Answer one chip."""
        answer = self.model.answers([np.asarray(fit(image))])[0]
        # A finished response: BentoML would derive the answer's JSON schema anew for every request.
        return Response(to_json(answer), media_type="application/json")  # type: ignore[return-value]


if __name__ == "__main__":
    command = Path(sys.executable).with_name("bentoml")
    service = "benchmarks.peers.bentoml_server:Chips"
    os.execv(command, [str(command), "serve", service, "--host", HOST, "--port", str(SETTINGS.port)])
