"""The OpenAPI description is enough: a client that a generator makes of it labels a chip."""

import json
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.kit.serving import ROOT, SAMPLE_CHIP

GENERATOR = ROOT / ".venv-generator/bin"
# Pictures are bytes, and lines text, to it only if told so. Then it warns of what it leaves out.
AS_IT_COMES = "post_hooks: []\n"
PICTURES_ARE_BYTES = """
content_type_overrides:
  image/jpeg: application/octet-stream
  image/png: application/octet-stream
  image/webp: application/octet-stream
  image/jp2: application/octet-stream
  image/tiff: application/octet-stream
  application/geopackage+sqlite3: application/octet-stream
  application/x-ndjson: text/plain
"""
SCRIPT = """
import io, json, sys
from generated import Client
from generated.api.chips import predict, preview
from generated.api.model import labels
from generated.models import Answer, Failure, Labels, Prediction, PredictFilesBody, PreviewBody, Problem
from generated.types import File

url, chip, pictures = sys.argv[1:]
client = Client(base_url=url)
data = open(chip, "rb").read()

def form(*files):
    return PredictFilesBody(chip=[File(payload=io.BytesIO(file), file_name="chip.jpg") for file in files])

answer = predict.sync(client=client, body=form(data), members=True, evidence=True)
assert isinstance(answer, Answer), answer
(prediction,) = answer.predictions
assert isinstance(prediction, Prediction)
assert all(len(score.members) == 3 for score in prediction.scores)
assert any(score.evidence for score in prediction.scores)

if pictures == "True":
    raw = predict.sync(client=client, body=File(payload=io.BytesIO(data)))
    assert raw.predictions[0].labels == prediction.labels
    picture = preview.sync(client=client, body=PreviewBody(chip=form(data).chip))
    assert picture.payload.read(4) == b"\\x89PNG"

problem = predict.sync(client=client, body=form(data[:500]))
assert isinstance(problem, Problem) and problem.status == 422, problem
good, bad = predict.sync(client=client, body=form(data, b"hello")).predictions
assert isinstance(good, Prediction) and isinstance(bad, Failure)
assert bad.error.status == 415

known = labels.sync(client=client)
assert isinstance(known, Labels)
print(json.dumps([prediction.labels, [label.name for label in known.labels]]))
"""


@pytest.mark.skipif(not GENERATOR.exists(), reason="no generator of clients (make generator)")
@pytest.mark.parametrize("pictures", [False, True])
def test_a_generated_client_labels_a_chip(
    default_client: httpx2.Client, tmp_path: Path, pictures: bool
) -> None:
    (tmp_path / "openapi.json").write_bytes(default_client.get("/openapi.json").content)
    (tmp_path / "configuration.yml").write_text(AS_IT_COMES + PICTURES_ARE_BYTES * pictures)
    generate = [f"{GENERATOR}/openapi-python-client", "generate", "--path", "openapi.json", "--meta", "none"]
    generate += ["--output-path", "generated", "--config", "configuration.yml"]
    generate += ["--fail-on-warning"] * pictures
    made = subprocess.run(generate, cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    ask = [f"{GENERATOR}/python", "-c", SCRIPT, str(default_client.base_url), str(SAMPLE_CHIP), str(pictures)]
    asked = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    labels, known = json.loads(asked.stdout)
    assert labels == served_labels(default_client)
    assert known == [label["name"] for label in default_client.get("/labels").json()["labels"]]


def served_labels(client: httpx2.Client) -> list[str]:
    (prediction,) = client.post("/predict", files={"chip": SAMPLE_CHIP.read_bytes()}).json()["predictions"]
    labels: list[str] = prediction["labels"]
    return labels
