"""What the service needs of a container: no right, nothing to write but /tmp."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from tests.kit.container import contained, why_not
from tests.kit.fakes import RED, encoded, picture
from tests.kit.serving import ROOT, SAMPLE_CHIP

# The image's own, and a port that nobody has.
ENVIRONMENT = {"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "CHIPVOTE_PORT": "0"}


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    reason = why_not()
    if reason:
        pytest.skip(f"no namespaces here: {reason}")
    command = contained(sys.executable, "-m", "service", "--device", "cpu")
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENT}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as started:  # type: ignore[call-overload]
        yield started
        started.kill()


@pytest.mark.slow
def test_it_labels_and_stops_as_nobody_on_a_read_only_system(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "serving " in line:
            break
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+) ", said[-1]) or [pytest.fail("".join(said))]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert client.get("/health/ready").status_code == 200
        chips = {"image/tiff": encoded(picture(RED), "TIFF"), "image/jpeg": SAMPLE_CHIP.read_bytes()}
        for content_type, chip in chips.items():
            answer = client.post("/predict", content=chip, headers={"content-type": content_type})
            assert answer.json()["predictions"][0]["labels"], answer.text
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    assert "Traceback" not in process.stderr.read()
