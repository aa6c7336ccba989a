"""What the layout promises, checked on the files themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    file
    for folder in ("service", "training", "tests", "benchmarks")
    for file in (ROOT / folder).rglob("*.py")
)
MAX_LINES = 300


def test_the_service_starts_without_training_and_its_frameworks() -> None:
    script = (
        "import sys; before = set(sys.modules); import service.cli, service.server.app; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded = set(done.stdout.split())
    assert "service" in loaded
    assert not loaded & {"training", "torch", "torchvision", "timm", "onnx", "lightning", "sklearn"}


def test_the_tests_of_the_service_need_only_the_service() -> None:
    script = (
        "import sys, tests.conftest, tests.kit.fakes; "
        "print(*{'training', 'torch', 'onnx', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_stay_readable(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_every_module_of_the_service_has_its_tests() -> None:
    service, tests = ROOT / "service", ROOT / "tests/service"
    modules = {file.relative_to(service) for file in service.rglob("*.py") if not file.name.startswith("__")}
    tested = {
        file.relative_to(tests).with_name(file.name.removeprefix("test_"))
        for file in tests.rglob("test_*.py")
    }
    assert sorted(modules - tested) == []
