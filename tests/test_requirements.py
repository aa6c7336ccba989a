"""The floors of pyproject.toml, and the lock files under requirements/."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.serving import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FLOORS = {
    wanted.name: wanted.specifier
    for wanted in map(
        Requirement, [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    )
}


def locked(lock: Path) -> dict[str, str]:
    """Return the versions that a lock file holds, by name."""
    return dict(re.findall(r"^([a-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("lightning", "2.6.2"),  # malware
        ("lightning", "2.6.3"),  # malware
        ("onnx", "1.20.1"),  # CVE-2026-27489, CVE-2026-34446, CVE-2026-34447
        ("pillow", "12.3.0"),  # memory safety
        ("onnxruntime", "1.31.0"),  # not what was tested
    ],
)
def test_what_is_not_safe_is_below_the_floor(name: str, version: str) -> None:
    assert version not in FLOORS[name]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_keeps_the_floors_and_names_no_index(lock: Path) -> None:
    versions = locked(lock)
    assert versions
    if lock.stem not in ("peers", "generator"):  # environments of their own
        below = {name: at for name, at in versions.items() if name in FLOORS and at not in FLOORS[name]}
        assert below == {}
        assert "httpx" not in versions  # no longer maintained
    assert "://" not in lock.read_text()


def test_the_locks_agree() -> None:
    """What is tested is what is served: one version of each, wherever it is installed."""
    first = locked(ROOT / "requirements/training.txt")
    for name in ("service-cpu", "service-gpu", "dev", "build"):
        others = locked(ROOT / f"requirements/{name}.txt")
        assert {package: first[package] for package in others if package in first} == {
            package: version for package, version in others.items() if package in first
        }
