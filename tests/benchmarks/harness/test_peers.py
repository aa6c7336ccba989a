"""What the peers are given alike."""

import ast
import sys
from importlib.metadata import packages_distributions

from tests.kit.serving import ROOT


def test_the_peers_have_what_the_decoder_needs_that_they_are_lent() -> None:
    imported = set()
    for file in (ROOT / "service/contract").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    distributions = packages_distributions()
    needed = {
        distributions[name][0].lower() for name in imported - set(sys.stdlib_module_names) - {"service"}
    }
    listed = (ROOT / "requirements/peers.txt").read_text(encoding="utf-8").splitlines()
    locked = {line.partition("==")[0] for line in listed}
    assert "pillow" in needed
    assert needed <= locked
