import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.decision import decide, strict_majority
from tests.fakes import Float

UNIT = st.floats(0, 1, width=32)


@st.composite
def elections(draw: st.DrawFn) -> tuple[Float, Float, int]:
    members, chips, labels = (draw(st.integers(1, 5)) for _ in range(3))
    probs_MBL = draw(hnp.arrays(np.float32, (members, chips, labels), elements=UNIT))
    thresholds_ML = draw(hnp.arrays(np.float32, (members, labels), elements=UNIT))
    return probs_MBL, thresholds_ML, draw(st.integers(1, members))


@given(elections())
def test_decide_counts_like_a_loop(election: tuple[Float, Float, int]) -> None:
    probs_MBL, thresholds_ML, quorum = election
    decision = decide(probs_MBL, thresholds_ML, quorum)
    members, chips, labels = probs_MBL.shape
    for chip in range(chips):
        for label in range(labels):
            votes = sum(
                bool(probs_MBL[member, chip, label] >= thresholds_ML[member, label])
                for member in range(members)
            )
            assert decision.votes_BL[chip, label] == votes
            assert decision.labels_BL[chip, label] == (votes >= quorum)


@given(elections())
def test_decide_does_not_depend_on_the_members_order_or_the_batch(
    election: tuple[Float, Float, int],
) -> None:
    probs_MBL, thresholds_ML, quorum = election
    labels_BL = decide(probs_MBL, thresholds_ML, quorum).labels_BL
    assert (decide(probs_MBL[::-1], thresholds_ML[::-1], quorum).labels_BL == labels_BL).all()
    for chip in range(labels_BL.shape[0]):
        alone_BL = decide(probs_MBL[:, chip : chip + 1], thresholds_ML, quorum).labels_BL
        assert (alone_BL[0] == labels_BL[chip]).all()


def test_a_probability_equal_to_its_threshold_is_a_vote() -> None:
    tenth = np.float32(0.1)
    assert decide(np.full((1, 1, 1), tenth), np.full((1, 1), tenth), 1).labels_BL.all()
    below = np.nextafter(tenth, np.float32(0))
    assert not decide(np.full((1, 1, 1), below), np.full((1, 1), tenth), 1).labels_BL.any()


@pytest.mark.parametrize(("members", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (15, 8)])
def test_strict_majority(members: int, quorum: int) -> None:
    assert strict_majority(members) == quorum
