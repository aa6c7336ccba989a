"""What no graph may have is tried as whole bundles: test_hostile_bundles.py."""

from pathlib import Path

import pytest

from service.contract.graph_file import check_graph_file
from tests.kit.fakes import linear_members
from tests.kit.serving import DEFAULT_BUNDLE


@pytest.mark.parametrize("path", sorted(DEFAULT_BUNDLE.glob("*.onnx")), ids=lambda path: path.name)
def test_an_exported_graph_passes(path: Path) -> None:
    check_graph_file(path.read_bytes())


def test_every_cut_is_refused_or_none() -> None:
    data = linear_members()[0].graph()
    check_graph_file(data)
    for end in range(len(data) - 1):
        with pytest.raises(ValueError, match=r"cut short|no ONNX graph"):
            check_graph_file(data[:end])
