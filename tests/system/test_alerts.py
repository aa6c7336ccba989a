"""The alert rules: promtool's own tests, and that the service has every metric they ask for."""

import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.kit.serving import SAMPLE_CHIP

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prometheus"
PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (apt install prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    ran = subprocess.run([str(PROMTOOL), *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_metric_of_the_rules_is_served(default_client: httpx2.Client) -> None:
    rules = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
    default_client.post("/predict", files={"chip": SAMPLE_CHIP.read_bytes()})
    served = set(re.findall(r"^([a-z_]+)", default_client.get("/metrics").text, re.MULTILINE))
    asked = set(re.findall(r"\b(chipvote_[a-z_]+)\{", rules))
    assert asked
    assert asked <= served
