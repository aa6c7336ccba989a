"""Shape suffixes: M members, B chips, O open chips, L labels."""

import itertools
from pathlib import Path
from random import Random

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.bundle import Bundle, load
from service.contract.chips.decode import decode_chip
from service.contract.decision import Voter, strict_majority
from service.contract.early_exit import EarlyDecision, EarlyVoter
from service.contract.rules import Vote
from service.engine.ensemble import Ensemble
from service.settings import Settings
from tests.kit.fakes import (
    BLACK,
    BLUE,
    GREEN,
    LABELS,
    MEMBERS,
    RED,
    Array,
    Float,
    encoded,
    make_bundle,
    picture,
)
from tests.kit.serving import serving
from tests.service.contract.test_decision import elections

DEFAULT = Path(__file__).parents[3] / "models" / "uc-merced"
MUDDY = (90, 80, 70)  # no member names it


def decide(voter: Voter, order: list[int], probs_MBL: Float) -> tuple[EarlyDecision, list[list[int]]]:
    """Vote on known probabilities; also return which members each chip was given to."""
    asked: list[list[int]] = [[] for _ in probs_MBL[0]]

    def ask(member: int, rows_O: Array) -> Float:
        for row in rows_O.tolist():
            asked[row].append(member)
        return np.asarray(probs_MBL[member, rows_O])

    return EarlyVoter(voter, order).decide(probs_MBL.shape[1], ask), asked


def settled(votes: int, quorum: int, weights_left: list[int]) -> bool:
    """Try every way in which the members to come can vote."""
    outcomes = {
        votes + sum(w for w, says in zip(weights_left, ways, strict=True) if says) >= quorum
        for ways in itertools.product((False, True), repeat=len(weights_left))
    }
    return len(outcomes) == 1


@given(elections(), st.randoms(use_true_random=False))
def test_label_sets_are_those_of_the_whole_vote_and_no_member_runs_in_vain(
    election: tuple[Float, Float, Array, Array], random: Random
) -> None:
    probs_MBL, thresholds_ML, weights_ML, quorum_L = election
    voter = Voter(thresholds_ML, weights_ML, quorum_L)
    members, chips, labels = probs_MBL.shape
    order = list(range(members))
    random.shuffle(order)
    decision, asked = decide(voter, order, probs_MBL)
    np.testing.assert_array_equal(decision.labels_BL, voter.decide(probs_MBL).labels_BL)
    for chip in range(chips):
        votes_L, ran = np.zeros(labels, int), []
        for place, member in enumerate(order):
            left = [[int(weights_ML[later, label]) for later in order[place:]] for label in range(labels)]
            matters = any(
                weights_ML[member, label] and not settled(votes_L[label], quorum_L[label], left[label])
                for label in range(labels)
            )
            assert (member in asked[chip]) == matters
            if matters:
                ran.append(member)
                votes_L += (probs_MBL[member, chip] >= thresholds_ML[member]) * weights_ML[member]
        assert (asked[chip], decision.members_B[chip]) == (ran, len(ran))
        np.testing.assert_array_equal(decision.votes_BL[chip], votes_L)
        mean_L = [
            np.average(probs_MBL[ran, chip, label].astype(float), weights=weights_ML[ran, label])
            for label in range(labels)
        ]
        np.testing.assert_allclose(decision.probabilities_BL[chip], mean_L, rtol=0, atol=1e-12)


@given(elections())
def test_a_chips_answer_does_not_depend_on_its_batch(election: tuple[Float, Float, Array, Array]) -> None:
    probs_MBL, *rule = election
    voter, order = Voter(*rule), list(range(len(probs_MBL)))[::-1]
    together, _ = decide(voter, order, probs_MBL)
    for chip in range(probs_MBL.shape[1]):
        alone, _ = decide(voter, order, probs_MBL[:, chip : chip + 1])
        for of_all, of_one in zip(together, alone, strict=True):
            np.testing.assert_array_equal(of_all[chip], of_one[0])


@pytest.mark.parametrize(("members", "needed"), [(15, 8), (3, 2), (1, 1), (4, 3)])
def test_members_that_agree_are_asked_until_they_have_the_majority(members: int, needed: int) -> None:
    """All against it: with an even number, half of them keep a strict majority away."""
    ones_ML = np.ones((members, 2), np.int64)
    voter = Voter(np.full((members, 2), 0.5, np.float32), ones_ML, strict_majority(ones_ML.sum(axis=0)))
    probs_MBL = np.zeros((members, 2, 2), np.float32)
    probs_MBL[:, 0, 0] = 1
    decision, _ = decide(voter, list(range(members)), probs_MBL)
    against = members - needed + 1
    assert decision.members_B.tolist() == [max(needed, against), against]
    assert decision.labels_BL.tolist() == [[True, False], [False, False]]


@pytest.fixture(scope="module")
def weighed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose first member has no say on one label and two votes on another."""
    weights = ((0, 2, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1))
    thresholds = ((0.5,) * len(LABELS), (0.4,) * len(LABELS), (0.02,) * len(LABELS))
    rule = Vote(thresholds=thresholds, weights=weights, quorum=(2, 3, 2, 2))
    return make_bundle(tmp_path_factory.mktemp("bundles") / "weighed", rule=rule)


@pytest.mark.parametrize("early_exit", [False, True])
def test_the_service_stops_early_when_told_to(weighed: Bundle, colours: Bundle, early_exit: bool) -> None:
    form = [
        ("chip", (f"{colour}.png", encoded(picture(colour), "PNG")))
        for colour in (RED, GREEN, BLUE, BLACK, MUDDY)
    ]
    for bundle in (colours, weighed):
        spec = bundle.manifest.input
        chips_BHWC = np.stack([decode_chip(data, spec) for _, (_, data) in form])
        whole = Ensemble(bundle, "cpu").vote(chips_BHWC)
        with serving(Settings(bundle=bundle.folder, device="cpu", early_exit=early_exit)) as client:
            predictions = client.post("/predict", files=form).raise_for_status().json()["predictions"]
            counted = _sample(client, "chipvote_chip_members_sum")
        for prediction, vote in zip(predictions, whole, strict=True):
            assert [score["predicted"] for score in prediction["scores"]] == vote.predicted
        members = [prediction["members"] for prediction in predictions]
        assert counted == sum(members)
        if bundle is colours:
            assert members[:4] == [2 if early_exit else MEMBERS] * 4
            votes = [score["votes"] for score in predictions[0]["scores"]]
            assert votes == ([2, 0, 0, 0] if early_exit else [3, 0, 0, 0])
        else:
            assert set(members) == ({2, 3} if early_exit else {MEMBERS})


def _sample(client: httpx2.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def test_the_default_bundle_gives_the_same_label_sets(shared_data: Path) -> None:
    bundle = load(DEFAULT)
    files = sorted((shared_data / "ucmerced" / "chips").iterdir())[::70]
    chips_BHWC = np.stack([decode_chip(file.read_bytes(), bundle.manifest.input) for file in files])
    whole = Ensemble(bundle, "cpu", threads=1).vote(chips_BHWC)
    early = Ensemble(bundle, "cpu", threads=1, early_exit=True).vote(chips_BHWC)
    assert [vote.predicted for vote in early] == [vote.predicted for vote in whole]
    assert {vote.members for vote in early} == {2, 3}
