import numpy as np

from service.contract.bundle import Bundle
from service.engine.ensemble import Ensemble
from tests.kit.fakes import LABELS, MEMBERS


def test_a_vote_of_all_holds_every_members_word_and_an_explained_one_the_evidence(colours: Bundle) -> None:
    ensemble, red_BHWC = Ensemble(colours, "cpu"), colours.golden.chips_GHWC[:1]
    (plain,), (explained,) = ensemble.vote(red_BHWC), ensemble.vote(red_BHWC, explain=True)
    assert plain.evidence == []
    assert explained[:5] == plain[:5]
    assert np.shape(plain.member_probabilities) == (len(LABELS), MEMBERS)
    assert [evidence is not None for evidence in explained.evidence] == explained.predicted
