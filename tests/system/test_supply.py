"""What the images hold is listed whole: each package of a lock with its version and hashes."""

import json
import re
import subprocess
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.contract.version import __version__
from tests.kit.serving import ROOT

VENV = ROOT / ".venv-supply"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (VENV / ".listing").exists(), reason="needs .venv-supply: make sbom"),
]


def make(verb: str, *options: str) -> None:
    # What is installed is taken as it is: a test asks no package index.
    kept = [option for stamp in (".venv-supply/.listing", ".venv/.serving") for option in ("-o", stamp)]
    subprocess.run(["make", "--silent", *kept, *options, verb], cwd=ROOT, check=True, capture_output=True)


def locked(lock: str) -> set[tuple[str, str, frozenset[str]]]:
    text = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^([\w.-]+)==(\S+)(.*(?:\n .*)*)", text, re.MULTILINE)
    return {(name, version, frozenset(re.findall(r"sha256:(\w+)", rest))) for name, version, rest in entries}


@pytest.fixture(scope="module")
def bills() -> dict[str, dict[str, Any]]:
    make("sbom")
    return {
        variant: json.loads((ROOT / f"dist/sbom-{variant}.json").read_bytes()) for variant in ("cpu", "gpu")
    }


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_every_locked_package_is_listed_with_its_hashes(variant: str, bills: dict[str, Any]) -> None:
    listed = {
        (part["name"], part["version"], frozenset(one["content"] for one in found["hashes"]))
        for part in bills[variant]["components"]
        for found in part["externalReferences"]
    }
    assert listed == locked(f"service-{variant}")
    root = bills[variant]["metadata"]["component"]
    assert (root["name"], root["version"]) == ("chipvote", __version__)


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_the_list_keeps_cyclonedxs_schema(variant: str, bills: dict[str, Any]) -> None:
    bill = json.dumps(bills[variant])
    assert validated(bill) == ""
    assert "is not" in validated(bill.replace('"type": "library"', '"type": "?"'))


_VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or "")
"""


def validated(bill: str) -> str:
    """Return what the tool's own validator finds wrong."""
    command = [str(VENV / "bin/python"), "-c", _VALIDATE]
    return subprocess.run(command, input=bill, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="needs .venv: make serve")
def test_every_licence_is_known() -> None:
    make("licences")
    rows = (ROOT / "dist/licences.md").read_text(encoding="utf-8").splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    licences = {canonicalize_name(name): licence for name, _, licence, *_ in cells}
    assert licences.keys() == needed_here("service-cpu")
    assert [name for name, licence in licences.items() if licence in ("", "UNKNOWN")] == []


def needed_here(lock: str) -> set[str]:
    """Return what a lock installs on this platform and Python."""
    text = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8")
    entries = [Requirement(line.removesuffix("\\")) for line in text.splitlines() if "==" in line]
    return {canonicalize_name(one.name) for one in entries if not one.marker or one.marker.evaluate()}
