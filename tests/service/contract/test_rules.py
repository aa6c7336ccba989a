"""Shape suffixes: M members, B chips, L labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.contract.decision import Blender, Constrained, Maximizer, Voter
from service.contract.rules import Blend, Cooccurrence, ExpectedF, Rule, Vote

VOTE = Vote(thresholds=((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)), weights=((1, 2, 0), (1, 1, 1)), quorum=(2, 2, 1))
BLEND = Blend(
    coefficients=(((1.0, 0.1, 0.0), (0.0, 0.7, -0.2), (0.3, 0.0, 0.5)),) * 2,
    intercepts=(0.0, 0.1, -0.1),
    thresholds=(0.25, 0.5, 0.75),
)
EXPECTED_F = ExpectedF(
    beta=2.0, weights=((1, 2, 0), (1, 1, 1)), knots=(((0.0, 0.1), (0.5, 0.9)), ((0.5, 0.5),), ((0.1, 0.2),))
)
RULES: tuple[Rule, ...] = (VOTE, BLEND, EXPECTED_F)
PROBS_MBL = np.random.default_rng(0).random((2, 9, 3), np.float32)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule)
def test_a_rule_survives_json_and_is_found_by_its_name(rule: Rule) -> None:
    adapter: TypeAdapter[Rule] = TypeAdapter(Rule)
    assert adapter.validate_json(rule.model_dump_json()) == rule
    rule.check_shape(2, 3)
    assert rule.labels == 3


def test_a_rule_of_another_name_is_refused() -> None:
    adapter: TypeAdapter[Rule] = TypeAdapter(Rule)
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        adapter.validate_python({**VOTE.model_dump(), "rule": "dice"})


def test_each_rule_builds_its_arithmetic_from_its_numbers() -> None:
    knots = [(np.array([x for x, _ in row]), np.array([y for _, y in row])) for row in EXPECTED_F.knots]
    weights_ML = np.array([[1, 2, 0], [1, 1, 1]])
    thresholds_L = np.array(BLEND.thresholds, np.float32)
    expected = (
        Voter(np.array(VOTE.thresholds, np.float32), weights_ML, np.array([2, 2, 1])),
        Blender(np.array(BLEND.coefficients), np.array(BLEND.intercepts), thresholds_L),
        Maximizer(weights_ML, knots, 2.0),
    )
    for rule, decider in zip(RULES, expected, strict=True):
        assert type(rule.decider()) is type(decider)
        for found, wanted in zip(rule.decider().decide(PROBS_MBL), decider.decide(PROBS_MBL), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule)
def test_cooccurrence_is_kept_by_any_rule(rule: Rule) -> None:
    limited = rule.model_copy(update={"cooccurrence": Cooccurrence(exclusive=((0, 1, 2),))})
    assert (limited.decider().decide(PROBS_MBL).labels_BL.sum(axis=1) == 1).all()
    assert not (rule.decider().decide(PROBS_MBL).labels_BL.sum(axis=1) == 1).all()
    limited = rule.model_copy(update={"cooccurrence": Cooccurrence(alone=(1,))})
    expected = Constrained(rule.decider(), [], [1], 3).decide(PROBS_MBL)
    np.testing.assert_array_equal(limited.decider().decide(PROBS_MBL).labels_BL, expected.labels_BL)


def test_a_label_tells_how_it_is_decided() -> None:
    assert (VOTE.label_thresholds(1), VOTE.label_weights(1), VOTE.label_quorum(1)) == ([0.2, 0.5], [2, 1], 2)
    assert (BLEND.label_thresholds(1), BLEND.label_weights(1), BLEND.label_quorum(1)) == ([0.5], [], None)
    found = EXPECTED_F.label_thresholds(1), EXPECTED_F.label_weights(1), EXPECTED_F.label_quorum(1)
    assert found == ([], [2, 1], None)


@pytest.mark.parametrize(
    ("rule", "change", "says"),
    [
        (VOTE, {"thresholds": VOTE.thresholds[:1]}, "must be 2 members × 3 labels, found 1 members"),
        (VOTE, {"thresholds": ((0.1, 0.2, 0.3), (0.1,))}, "thresholds must be 2 members × 3 labels, found 1"),
        (VOTE, {"weights": ((1, 1, 1),)}, "weights must be 2 members × 3 labels"),
        (VOTE, {"weights": ((1, 1, 0), (1, 1, 0))}, "no member has a say on label 2"),
        (VOTE, {"quorum": (1, 1)}, "quorum must be 3 labels, found 2 labels"),
        (VOTE, {"quorum": (2, 4, 1)}, r"quorum 4 of label 1 is not in 1\.\.3"),
        (VOTE, {"quorum": (0, 1, 1)}, r"quorum 0 of label 0 is not in 1\.\.2"),
        (BLEND, {"coefficients": BLEND.coefficients[:1]}, "must be 2 members × 3 labels × 3 scores"),
        (BLEND, {"intercepts": (0.0,)}, "intercepts must be 3 labels"),
        (BLEND, {"thresholds": (0.5,)}, "thresholds must be 3 labels"),
        (BLEND, {"intercepts": (0.0, 0.0, 200.0)}, "coefficients add up to 201, more than 128"),
        (EXPECTED_F, {"weights": ((1, 1, 1),)}, "weights must be 2 members × 3 labels"),
        (EXPECTED_F, {"knots": EXPECTED_F.knots[:2]}, "knots must be 3 labels"),
        (EXPECTED_F, {"knots": (*EXPECTED_F.knots[:2], ())}, "knots of label 2 must be there and rise"),
        (EXPECTED_F, {"knots": (*EXPECTED_F.knots[:2], ((0.5, 0.9), (0.5, 1)))}, "knots of label 2"),
        (EXPECTED_F, {"knots": (*EXPECTED_F.knots[:2], ((0.5, 0.9), (0.6, 0.8)))}, "knots of label 2"),
        *((rule, {"cooccurrence": Cooccurrence(alone=(3,))}, "column 3, there are 3") for rule in RULES),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(rule: Rule, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rule.model_copy(update=change).check_shape(2, 3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Cooccurrence(exclusive=((0, 1), (1, 2))), "exclusive names a label twice"),
        (lambda: Cooccurrence(exclusive=((0,),)), "fewer than two labels"),
        (lambda: Cooccurrence(alone=(1, 1)), "alone names a label twice"),
        (lambda: Vote(thresholds=((1.5,),), weights=((1,),), quorum=(1,)), "less than or equal to 1"),
        (lambda: Vote(thresholds=((0.5,),), weights=((-1,),), quorum=(1,)), "greater than or equal to 0"),
        (lambda: Blend(coefficients=(), intercepts=(float("nan"),), thresholds=()), "finite"),
        (lambda: ExpectedF(beta=0, weights=(), knots=()), "greater than 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        make()


@st.composite
def votes(draw: st.DrawFn) -> tuple[Vote, list[list[bool]]]:
    """A vote's rule, and per label which members are in favour on one chip."""
    members, labels = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    columns = st.lists(st.integers(0, 3), min_size=members, max_size=members).filter(any)
    weights = [draw(columns) for _ in range(labels)]
    rule = Vote(
        thresholds=((0.5,) * labels,) * members,
        weights=tuple(zip(*weights, strict=True)),
        quorum=tuple(draw(st.integers(1, sum(column))) for column in weights),
    )
    in_favour = st.lists(st.booleans(), min_size=members, max_size=members)
    return rule, [draw(in_favour) for _ in range(labels)]


@given(votes())
def test_margin_and_contested_labels_by_trying_and_looking(drawn: tuple[Vote, list[list[bool]]]) -> None:
    rule, in_favour = drawn
    margins, contested = [], 0
    for label, opinions in enumerate(in_favour):
        weights = rule.label_weights(label)
        voted = sum(weight for weight, favours in zip(weights, opinions, strict=True) if favours)
        ends = [other >= rule.quorum[label] for other in range(sum(weights) + 1)]
        margins += [abs(other - voted) for other, end in enumerate(ends) if end != ends[voted]]
        voters = {favours for weight, favours in zip(weights, opinions, strict=True) if weight}
        contested += voters == {True, False}
    probs_M1L = np.array(in_favour, np.float32).T[:, None]
    (of_chip,) = rule.decider().decide(probs_M1L).votes_BL.tolist()
    assert rule.margin(of_chip) == min(margins)
    assert rule.contested(of_chip) == contested
