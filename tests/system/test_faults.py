"""The table of faults names tests that there are."""

import ast
import re

import pytest

from tests.kit.serving import ROOT

TEXT = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| fault "))
]


def test_the_table_is_long_and_no_fault_stands_in_it_twice() -> None:
    assert len(ROWS) >= 25
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_is_whole_and_its_test_is_there(row: list[str]) -> None:
    assert len(row) == 5 and all(row)
    found = re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", row[4])
    assert found, row[4]
    module = ast.parse((ROOT / found[1]).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert found[2] in {node.name for node in module.body if isinstance(node, functions)}
