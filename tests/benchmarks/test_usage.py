"""Every benchmark says how it is called, and whoever names one names one that there is."""

import re
from pathlib import Path

import pytest

from tests.kit.serving import ROOT

ROOMS = ("serving", "quality", "training")
SCRIPTS = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts): file
    for room in ROOMS
    for file in sorted((ROOT / "benchmarks" / room).glob("[a-z]*.py"))
}
TEXTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.rglob("benchmarks/*/*.py")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_usage_line_is_true(name: str) -> None:
    docstring = SCRIPTS[name].read_text(encoding="utf-8").split('"""')[1]
    assert re.search(rf"^    python -m {re.escape(name)}\b", docstring, re.M)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_texts_name_benchmarks_that_there_are(text: Path) -> None:
    named = re.findall(r"python -m\s+(benchmarks\.[a-z_.]*[a-z])", text.read_text(encoding="utf-8"))
    assert {name for name in named if ".harness." not in name} <= set(SCRIPTS)


def test_make_bench_runs_benchmarks_that_there_are() -> None:
    (names,) = re.findall(r"^BENCH = (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert {f"benchmarks.{name}" for name in names.split()} <= set(SCRIPTS)
