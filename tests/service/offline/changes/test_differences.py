from pathlib import Path

import numpy as np
import pytest

from service.answers.layers.errors import LayerError
from service.answers.layers.rows import Row
from service.engine.verdict import Verdict
from service.offline.changes.differences import Kind, compare
from service.offline.changes.reading import read
from tests.kit.layers import LABELS, grid, verdict, window
from tests.service.offline.changes.conftest import SIDE, Make


def test_water_that_spreads_appears_and_what_it_covers_disappears(files: tuple[Path, Path]) -> None:
    found = compare(*map(read, files))
    water, soil = LABELS.index("water"), LABELS.index("bare soil")
    assert found.appeared_NL.sum(axis=0)[water] == SIDE
    assert found.disappeared_NL.sum(axis=0)[soil] == SIDE
    assert found.appeared_NL.sum() + found.disappeared_NL.sum() == 2 * SIDE
    assert found.disputed_NL.sum(axis=0)[[water, soil]].tolist() == [1, 0]
    kinds = found.kinds()
    # Where a member is against water, that soil is gone is still undisputed.
    assert [kinds.count(kind) for kind in (Kind.BOTH, Kind.DISAPPEARED, Kind.NONE)] == [SIDE - 1, 1, 30]
    assert found.remarks() == []


@pytest.mark.parametrize(
    ("votes_before", "votes_after", "disputed"), [(0, 3, False), (0, 2, True), (1, 3, True), (3, 0, False)]
)
def test_a_change_is_disputed_where_members_are_on_both_sides(
    layer: Make, votes_before: int, votes_after: int, disputed: bool
) -> None:
    def rows(votes: int) -> list[Row]:
        said = Verdict([0.5] * 5, [0, 0, 0, votes, 3], [False, False, False, votes > 1, True], 3)
        return [Row(window(0, 0), said, None, "EPSG:4326")]

    found = compare(layer(rows(votes_before)), layer(rows(votes_after)))
    assert found.disputed_NL[0, 3] == disputed


def test_without_votes_probabilities_far_apart_are_a_dispute(layer: Make) -> None:
    def rows(predicted: bool, members: list[list[float]]) -> list[Row]:
        said = Verdict([0.5] * 5, [0] * 5, [predicted] * 5, 3, members)
        return [Row(window(0, 0), said, None, "EPSG:4326")]

    before = layer(rows(False, [[0.4, 0.5]] * 5))
    assert not compare(before, layer(rows(True, [[0.4, 0.5]] * 5))).disputed_NL.any()
    assert compare(before, layer(rows(True, [[0.1, 0.7]] * 5))).disputed_NL.all()
    assert not compare(before, layer(rows(True, []))).disputed_NL.any()


def test_other_bundles_labels_and_rows_are_said(layer: Make) -> None:
    before = layer([*grid(3, lambda *_: ["water"]), Row(window(7, 7), None, "cut")])
    after = layer(grid(2, lambda *_: ["water"]))
    after = after._replace(
        name="after", bundles=("colours 2",), labels=("semi-arid", "mud", "scene", "water", "Water_")
    )
    found = compare(before, after)
    assert found.labels == ("semi-arid", "scene", "water", "Water_")
    assert found.remarks() == [
        "Not the same bundle answered: colours 1.2.3 before, colours 2 after.",
        f"Only {before.name} has bare soil: not compared.",
        "Only after has mud: not compared.",
        f"Rows of {before.name} without a counterpart: 5.",
        f"Rows of {before.name} that are failures: 1.",
    ]


def test_the_change_of_a_probability_is_after_less_before(layer: Make) -> None:
    before, after = (
        layer([Row(window(0, 0), verdict("water", probability=p), None, "EPSG:4326")]) for p in (0.5, 0.8)
    )
    found = compare(before, after)
    assert (found.probs_after_NL - found.probs_before_NL)[0] == pytest.approx([0, 0, 0, 0.3, 0], abs=1e-6)
    assert not np.any(found.appeared_NL | found.disappeared_NL)


def test_without_a_common_label_nothing_is_compared(layer: Make) -> None:
    before = layer(grid(1, lambda *_: []))
    with pytest.raises(LayerError, match="no label in common"):
        compare(before, before._replace(labels=tuple("abcde")))
