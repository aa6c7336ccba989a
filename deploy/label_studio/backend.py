"""Label Studio's chips → pre-annotations, by a Chipvote service: an ML backend in one file.

    LABEL_STUDIO_URL      where Label Studio is; no picture is fetched from elsewhere
    LABEL_STUDIO_API_KEY  its legacy token, where it asks for one
    LABEL_STUDIO_FILES    folder of its local files (its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT)
    CHIPVOTE_URL, CHIPVOTE_KEY   the service

    uvicorn --app-dir deploy/label_studio --factory backend:create_app --port 9090
    curl http://127.0.0.1:9090/config.xml  # the labelling configuration, for the project's settings

Label Studio takes a backend on a private address only if it runs with ML_BLOCK_LOCAL_IP=false.
"""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import httpx2
from fastapi import Body, FastAPI, Response

from service.client import Client

CONFIG = """<View>
  <Image name="image" value="$image"/>
  <Choices name="labels" toName="image" choice="multiple">{}
  </Choices>
</View>
"""


def create_app() -> FastAPI:
    """Read the environment and build the backend."""
    base, files = httpx2.URL(os.environ["LABEL_STUDIO_URL"]), os.environ.get("LABEL_STUDIO_FILES")
    token = os.environ.get("LABEL_STUDIO_API_KEY")
    headers = {"Authorization": f"Token {token}"} if token else {}
    service = Client(os.environ.get("CHIPVOTE_URL", "http://127.0.0.1:8000"), os.environ.get("CHIPVOTE_KEY"))
    app = FastAPI()

    def fetch(task: Any, path: Path) -> Path:  # noqa: ANN401
        """Bring a task's picture to a file. Whoever may write tasks may write any address."""
        url = base.join(task["data"]["image"])
        parts = url.path.split("/")
        if url.netloc != base.netloc or url.scheme != base.scheme or "data" not in parts or ".." in parts:
            raise ValueError(f"{url} is no picture of {base}")
        if files and "local-files" in parts:
            path = Path(files, url.params["d"]).resolve()
            if not path.is_relative_to(Path(files).resolve()):
                raise ValueError(f"{url} is not below {files}")
            return path
        path.write_bytes(httpx2.get(url, headers=headers).raise_for_status().content)
        return path

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "UP", "model_class": "Chipvote"}

    @app.post("/setup")
    def setup() -> dict[str, str]:
        return {"model_version": service.labels()["model"]["version"]}

    @app.get("/config.xml")
    def config() -> Response:
        choices = [
            f"\n    <Choice value={quoteattr(label['name'])}/>" for label in service.labels()["labels"]
        ]
        return Response(CONFIG.format("".join(choices)), media_type="application/xml")

    @app.post("/predict")
    def predict(tasks: list[dict[str, Any]] = Body(embed=True)) -> dict[str, Any]:  # noqa: B008
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for index, task in enumerate(tasks):
                try:
                    paths[index] = fetch(task, Path(folder, str(index)))
                except (ValueError, KeyError, TypeError, httpx2.HTTPError, httpx2.InvalidURL) as error:
                    logging.getLogger("uvicorn.error").warning("task %s: %r", task.get("id"), error)
            answers = dict(zip(paths, service.predict(list(paths.values()), progress=False), strict=True))
        version = service.labels()["model"]["version"]
        return {"results": [prediction(answers.get(index), version) for index in range(len(tasks))]}

    return app


def prediction(answer: Any, version: str) -> dict[str, Any]:  # noqa: ANN401
    """Put an answer into Label Studio's words; a chip that cannot be used gets no annotation."""
    labels = answer.get("labels", []) if answer else []
    sure = [score["probability"] for score in answer["scores"] if score["predicted"]] if labels else [0.0]
    choices = {"from_name": "labels", "to_name": "image", "type": "choices", "value": {"choices": labels}}
    return {
        "model_version": version,
        "score": sum(sure) / len(sure),
        "result": [choices] if labels else [],
    }
