"""QGIS's own Python, where there is one, and what stands in for it where there is none."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# A Debian has it for its own Python; elsewhere it may be a script that sets QGIS's paths.
PYTHON = os.environ.get("CHIPVOTE_QGIS_PYTHON", "/usr/bin/python3")


class StandInError(Exception):
    """For QGIS's own exception."""


@contextmanager
def stand_in() -> Iterator[None]:
    """Let scripts import QGIS's modules, of which only the exception is more than a name."""
    core, qt = ModuleType("qgis.core"), ModuleType("qgis.PyQt.QtCore")
    for module in (core, qt):
        module.__getattr__ = lambda name: type(name, (), {})  # type: ignore[method-assign]
    core.QgsProcessingException = StandInError  # type: ignore[attr-defined]
    modules = {"qgis": ModuleType("qgis"), "qgis.PyQt": ModuleType("qgis.PyQt"), core.__name__: core}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in {**modules, qt.__name__: qt}.items():
            patch.setitem(sys.modules, name, module)
        yield


def load(script: Path) -> Any:  # noqa: ANN401
    """Import a script as a module, without QGIS."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with stand_in():
        spec.loader.exec_module(module)
    return module


def run(code: str, *arguments: str | Path) -> str:
    """Run code in QGIS's Python without a screen; return what it printed, or skip the test."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONPATH", None)
    try:
        there = subprocess.run([PYTHON, "-c", "import qgis.core"], env=environment, capture_output=True)
    except OSError:
        pytest.skip(f"no {PYTHON}")
    if there.returncode:
        pytest.skip("no QGIS; apt-get install python3-qgis, or set CHIPVOTE_QGIS_PYTHON")
    done = subprocess.run(
        [PYTHON, "-c", code, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
