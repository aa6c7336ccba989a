"""The alert rules: promtool's own tests of them, and that the service has every metric they ask for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.settings import Settings
from tests.serving import serving

ROOT = Path(__file__).parents[1]
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


def test_every_metric_of_the_rules_is_served() -> None:
    rules = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
    sample = (ROOT / "docs/sample-chip.jpg").read_bytes()
    with serving(Settings(bundle=ROOT / "models/uc-merced", port=0)) as client:
        client.post("/predict", content=sample, headers={"content-type": "image/jpeg"})
        served = set(re.findall(r"^([a-z_]+)", client.get("/metrics").text, re.MULTILINE))
    asked = set(re.findall(r"\b(chipvote_[a-z_]+)\{", rules))
    assert asked
    assert asked <= served
