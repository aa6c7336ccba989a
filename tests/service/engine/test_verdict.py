import numpy as np

from service.contract.bundle import Bundle
from service.engine.ensemble import Ensemble
from tests.kit.fakes import LABELS, MEMBERS


def test_only_an_explained_vote_holds_every_members_word(colours: Bundle) -> None:
    ensemble, red_BHWC = Ensemble(colours, "cpu"), colours.golden.chips_GHWC[:1]
    (plain,), (explained,) = ensemble.vote(red_BHWC), ensemble.vote(red_BHWC, explain=True)
    assert (plain.member_probabilities, plain.evidence) == ([], [])
    assert explained[:4] == plain[:4]
    assert np.shape(explained.member_probabilities) == (len(LABELS), MEMBERS)
    assert [evidence is not None for evidence in explained.evidence] == explained.predicted
