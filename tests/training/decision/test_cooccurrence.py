"""Shape suffixes: N chips, L labels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.rules import Cooccurrence
from tests.kit.fakes import Array
from training.data.tables.forms import read_tags
from training.decision.cooccurrence import SUPPORT, TOLERANCE, find_cooccurrence

NOTHING = Cooccurrence()


def weather(chips: int, seed: int = 0) -> Array:
    """Columns 0 to 2: exactly one is true; column 3 is free, 4 too; nothing beside column 1."""
    random = np.random.default_rng(seed)
    kind_N = random.choice(3, chips, p=[0.6, 0.15, 0.25])
    free_N2 = (random.random((chips, 2)) < [0.5, 0.3]) & (kind_N != 1)[:, None]
    return np.concatenate([kind_N[:, None] == np.arange(3), free_N2], axis=1)


def test_the_group_and_the_label_alone_are_found_wherever_their_columns_are() -> None:
    targets_NL = weather(2000)
    assert find_cooccurrence(targets_NL) == Cooccurrence(exclusive=((0, 1, 2),), alone=(1,))
    order = [4, 1, 3, 2, 0]
    assert find_cooccurrence(targets_NL[:, order]) == Cooccurrence(exclusive=((1, 3, 4),), alone=(1,))


def test_independent_labels_have_no_rules() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        assert find_cooccurrence(random.random((3000, 8)) < random.uniform(0.001, 0.9, 8)) == NOTHING


def test_one_break_in_a_thousand_rows_is_forgiven_and_two_are_not() -> None:
    targets_NL = weather(1000)
    clear_N = np.flatnonzero(targets_NL[:, 0])
    targets_NL[clear_N[0], 0] = False  # a row without any of the group
    assert find_cooccurrence(targets_NL).exclusive == ((0, 1, 2),)
    targets_NL[clear_N[1], 2] = True  # a row with two of it
    assert find_cooccurrence(targets_NL).exclusive == ()
    company_NL = weather(1000)
    company_NL[np.flatnonzero(company_NL[:, 1])[0], 3] = True  # one of about 150 rows of the label
    assert find_cooccurrence(company_NL) == Cooccurrence(exclusive=((0, 1, 2),))


def test_rules_that_chance_could_make_are_not_believed() -> None:
    assert find_cooccurrence(weather(40)) == NOTHING
    targets_NL = weather(2000)
    rare_N = np.flatnonzero(targets_NL[:, 1])
    few_NL = np.delete(targets_NL, rare_N[int(SUPPORT) :], axis=0)
    assert find_cooccurrence(few_NL) == NOTHING  # with so few rows the label could be alone by chance


def test_labels_that_exclude_each_other_but_leave_chips_out_are_no_group() -> None:
    targets_NL = weather(2000)[:, [0, 1, 3, 4]]
    assert find_cooccurrence(targets_NL) == Cooccurrence(alone=(1,))


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(2, 7))
def test_what_is_found_is_true_of_the_truth(seed: int, chips: int, labels: int) -> None:
    """Labels drawn so that rules are common: a kind of each chip decides what may be set."""
    random = np.random.default_rng(seed)
    allowed_KL = random.random((4, labels)) < 0.4
    targets_NL = allowed_KL[random.integers(0, 4, chips)] & (random.random((chips, labels)) < 0.95)
    found = find_cooccurrence(targets_NL)
    for group in found.exclusive:
        assert (targets_NL[:, list(group)].sum(axis=1) != 1).mean() <= TOLERANCE
    for label in found.alone:
        own = next((group for group in found.exclusive if label in group), (label,))
        rows_NL = np.delete(targets_NL[targets_NL[:, label]], own, axis=1)
        assert rows_NL.any(axis=1).mean() <= TOLERANCE


@pytest.mark.parametrize(
    ("tags", "groups", "alone"),
    [
        ("planet/train_v2.csv", [{"clear", "cloudy", "haze", "partly_cloudy"}], ["cloudy"]),
        ("ucmerced/labels.csv", [], []),
    ],
)
def test_on_real_labels(shared_data: Path, tags: str, groups: list[set[str]], alone: list[str]) -> None:
    known = read_tags(shared_data / tags)
    found = find_cooccurrence(known.targets_NL)
    assert [{known.labels[column] for column in group} for group in found.exclusive] == groups
    assert [known.labels[column] for column in found.alone] == alone
