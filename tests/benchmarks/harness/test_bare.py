"""Every way to run the members bare runs each chip once per member."""

from pathlib import Path

import pytest

pytest.importorskip("onnx")

from benchmarks.harness.bare import BareLoop, ways
from benchmarks.harness.bundles import free_bundle


def test_every_way_answers(tmp_path: Path) -> None:
    bundle = free_bundle(tmp_path)
    graph = bundle.graph_path(bundle.manifest.members[0], "float32")
    chips_GHWC = bundle.golden.chips_GHWC
    assert len(ways(1)) == 2 and len({way.name for way in ways(2)}) == 4
    for way in ways(2):
        loop = BareLoop([graph, graph], way)
        assert loop.rate(chips_GHWC, 0.01) > 0
        assert loop.rate(chips_GHWC, 0.01, [1]) > 0
        assert len(loop.latencies_ms(chips_GHWC, 0)) == len(chips_GHWC)
