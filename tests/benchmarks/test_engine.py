"""Forms of several chips, and how fast the engine takes batches."""

import json
from pathlib import Path

import pytest

from benchmarks._engine import Batches, forms, pace, parse_batches, taking_forms
from benchmarks._peers import ours
from benchmarks._servers import Chip


def test_forms_hold_every_chip_in_order(tmp_path: Path) -> None:
    chips = [Chip(tmp_path / name, {f"label-{name}"}) for name in "abc"]
    for chip in chips:
        chip.file.write_bytes(chip.file.name.encode() * 3)
    first, second = forms(chips, 2, tmp_path)
    assert first.labels == {"0:label-a", "1:label-b"}
    assert second.labels == {"0:label-c", "1:label-a"}, "the last form starts again"
    body = first.file.read_bytes()
    server = taking_forms(ours(tmp_path, "float32", {}))
    boundary = server.headers["Content-Type"].partition("boundary=")[2].encode()
    assert [b"aaa" in part for part in body.split(b"--" + boundary)] == [False, True, False, False]
    assert body.endswith(b"--" + boundary + b"--\r\n")
    predictions = [{"labels": ["label-a"]}, {"labels": ["label-b"]}]
    assert server.labels(json.dumps({"predictions": predictions}).encode()) == first.labels


def test_batches_are_read_from_metrics() -> None:
    lines = ('bucket{le="1.0"} 2.0', "count 4.0", "sum 10.0")
    text = "".join(f"chipvote_batch_chips_{line}\n" for line in lines)
    assert parse_batches(text) == Batches(4, 10)
    assert parse_batches(text).mean == 2.5
    with pytest.raises(RuntimeError, match="chipvote_batch_chips"):
        parse_batches("process_cpu_seconds_total 1\n")


def test_the_pace_is_that_between_two_batches() -> None:
    # Batches of 8 are taken every two seconds, at 1, 3 and 5: four chips a second at any poll.
    seen = [(when_s, Batches(1 + (when_s + 1) // 2, 8 * ((when_s + 1) // 2))) for when_s in range(6)]
    assert pace(seen) == (4, 8)
    with pytest.raises(RuntimeError, match="--seconds"):
        pace(seen[:3])
