from pathlib import Path

import numpy as np
import pytest

from training.config.planet import PLANET_GROUPS
from training.data.labels import Tags, as_word, group_of_each, multi_hot
from training.data.tables.forms import read_tags


@pytest.mark.parametrize(
    ("label", "word"),
    [
        ("bare_ground", "bare_ground"),
        ("farmer's-field", "farmer's-field"),
        ("bare soil", "bare-soil"),
        ("Beaches, dunes, sands", "Beaches-dunes-sands"),
        ("Transitional woodland/shrub", "Transitional-woodland-shrub"),
        ("buildings & roads", "buildings-&-roads"),
        ("'sea' (calm)", "sea'-calm"),
    ],
)
def test_a_label_becomes_one_word_that_stays_as_it_is(label: str, word: str) -> None:
    assert as_word(label) == word == as_word(word)


def test_rows_and_multi_hot_are_inverse() -> None:
    targets_NL = np.random.default_rng(0).random((20, 5)) < 0.4
    labels = list("abcde")
    rows = Tags([str(n) for n in range(20)], labels, targets_NL).rows()
    np.testing.assert_array_equal(multi_hot(rows, labels), targets_NL)


def test_planet_labels_have_their_own_groups_and_others_go_by_prevalence() -> None:
    labels = ["clear", "water", "blow_down"]
    assert group_of_each(labels, np.array([0.001, 0.001, 0.9])) == ["atmospheric", "common", "rare"]
    labels[1] = "canal"
    assert group_of_each(labels, np.array([0.5, 0.02, 0.0199])) == ["common", "common", "rare"]


def test_the_tags_of_planet(shared_data: Path) -> None:
    tags = read_tags(shared_data / "planet" / "train_v2.csv")
    assert tags.targets_NL.shape == (40_479, 17)
    assert sorted(tags.labels) == sorted(label for group in PLANET_GROUPS.values() for label in group)
    atmospheric = [tags.labels.index(label) for label in PLANET_GROUPS["atmospheric"]]
    counts_N = tags.targets_NL[:, atmospheric].sum(axis=1)
    assert sorted(set(counts_N.tolist())) == [0, 1]
    assert (counts_N == 0).sum() == 1
    cloudy_N = tags.targets_NL[:, tags.labels.index("cloudy")]
    assert (tags.targets_NL[cloudy_N].sum(axis=1) == 1).all()
    # on these labels, prevalence alone makes the same groups
    prevalence_L = tags.targets_NL.mean(axis=0)
    by_share = group_of_each([f"x{label}" for label in tags.labels], prevalence_L)
    assert [group == "rare" for group in by_share] == [
        label in PLANET_GROUPS["rare"] for label in tags.labels
    ]
