"""Shape suffixes: N chips, L labels."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import average_precision_score, fbeta_score, precision_score, recall_score

from training.config.planet import PLANET_GROUPS
from training.data.labels import group_of_each
from training.evaluation.metrics import measure, table

LABELS = ["a", "b", "c", "d", "e"]
Arrays = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32], npt.NDArray[np.bool_]]
GROUPS = ["common", "common", "common", "rare", "rare"]


@pytest.fixture
def arrays() -> Arrays:
    """Label sets, probabilities and truth of 300 chips; the last label is on none, `d` on 1 %."""
    random = np.random.default_rng(0)
    targets_NL = random.random((300, 5)) < [0.5, 0.3, 0.1, 0, 0]
    targets_NL[:3, 3] = True
    probs_NL = np.clip(random.normal(0.3 + 0.3 * targets_NL, 0.2), 0, 1).astype(np.float32)
    return probs_NL >= np.float32(0.4), probs_NL, targets_NL


def test_scores_are_scikit_learns(arrays: Arrays) -> None:
    predicted_NL, probs_NL, targets_NL = arrays
    scores = measure(*arrays, LABELS, GROUPS, fitting="held-out")
    assert (scores.fitting, scores.chips) == ("held-out", 300)
    samples = fbeta_score(targets_NL, predicted_NL, beta=2, average="samples", zero_division=1)
    assert scores.sample_f2 == pytest.approx(samples)
    for column, row in enumerate(scores.labels[:4]):
        truth_N, set_N = targets_NL[:, column], predicted_NL[:, column]
        assert (row.label, row.positives) == (LABELS[column], truth_N.sum())
        assert row.precision == pytest.approx(precision_score(truth_N, set_N))
        assert row.recall == pytest.approx(recall_score(truth_N, set_N))
        assert row.f2 == pytest.approx(fbeta_score(truth_N, set_N, beta=2))
        assert row.average_precision == pytest.approx(average_precision_score(truth_N, probs_NL[:, column]))
    macro = fbeta_score(targets_NL[:, :4], predicted_NL[:, :4], beta=2, average="macro")
    assert scores.macro_f2 == pytest.approx(macro)
    mean_ap = average_precision_score(targets_NL[:, :4], probs_NL[:, :4], average="macro")
    assert scores.mean_average_precision == pytest.approx(mean_ap)


def test_a_label_without_positives_stays_out_of_every_mean(arrays: Arrays) -> None:
    predicted_NL, probs_NL, targets_NL = arrays
    scores = measure(*arrays, LABELS, GROUPS, fitting="held-out")
    without = measure(
        predicted_NL[:, :4], probs_NL[:, :4], targets_NL[:, :4], LABELS[:4], GROUPS[:4], fitting="held-out"
    )
    assert scores.labels[4].average_precision is None
    assert scores.labels[4].positives == 0
    assert scores.macro_f2 == without.macro_f2
    assert scores.mean_average_precision == without.mean_average_precision
    assert scores.group_f2 == without.group_f2


def test_groups_are_averaged_apart(arrays: Arrays) -> None:
    scores = measure(*arrays, LABELS, GROUPS, fitting="held-out")
    f2_L = [row.f2 for row in scores.labels]
    assert scores.group_f2 == pytest.approx({"common": np.mean(f2_L[:3]), "rare": f2_L[3]})


def test_planets_groups_are_its_own(arrays: Arrays) -> None:
    labels = ["clear", "haze", "primary", "blooming", "road"]
    scores = measure(*arrays, labels, group_of_each(labels, arrays[2].mean(axis=0)), fitting="held-out")
    f2 = {row.label: row.f2 for row in scores.labels}
    expected = {
        "atmospheric": (f2["clear"] + f2["haze"]) / 2,
        "common": f2["primary"],
        "rare": f2["blooming"],
    }
    assert scores.group_f2 == pytest.approx(expected)  # `road` is on no chip
    assert set(scores.group_f2) <= set(PLANET_GROUPS)


def test_nothing_to_score_is_refused() -> None:
    nothing_NL = np.zeros((3, 2), np.bool_)
    with pytest.raises(ValueError, match="3 chips without any known label cannot be scored"):
        measure(
            nothing_NL,
            nothing_NL.astype(np.float32),
            nothing_NL,
            ["a", "b"],
            ["common"] * 2,
            fitting="held-out",
        )


def test_the_table_shows_every_label(arrays: Arrays) -> None:
    scores = measure(*arrays, LABELS, GROUPS, fitting="held-out")
    headline, _, _, rule, *rows = table(scores).splitlines()
    assert headline.startswith(f"held-out on 300 chips: sample F2 **{scores.sample_f2:.4f}**")
    assert rule.count("|") == 7
    assert [row.split("|")[1].strip() for row in rows] == LABELS
    assert rows[4].split("|")[6].strip() == "–"
    assert rows[0].split("|")[5].strip() == f"{scores.labels[0].f2:.3f}"
    assert "In brackets" not in headline


def test_the_table_shows_the_intervals_that_are_there(arrays: Arrays) -> None:
    scores = measure(*arrays, LABELS, GROUPS, fitting="held-out")
    known = scores.labels[0].model_copy(update={"f2_interval": (0.25, 0.75)})
    shown = scores.model_copy(
        update={
            "sample_f2_interval": (0.5, 1),
            "group_f2_intervals": {"rare": (0, 0.1)},
            "labels": (known, *scores.labels[1:]),
        }
    )
    headline, *_, first, second, _, _, _ = table(shown).splitlines()
    assert (
        f"sample F2 **{scores.sample_f2:.4f}** (0.500 to 1.000), macro F2 {scores.macro_f2:.4f}, " in headline
    )
    assert f"rare {scores.group_f2['rare']:.4f} (0.000 to 0.100). In brackets: 95 % bootstrap" in headline
    assert first.split("|")[5].strip() == f"{known.f2:.3f} (0.250 to 0.750)"
    assert "(" not in second
