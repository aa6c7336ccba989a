from collections.abc import Iterator

import numpy as np
import pytest

from service.contract.errors import NoChip, ServiceError, StartupError
from service.engine.crew import Crew
from service.engine.verdict import Verdict
from tests.kit.fakes import Chips, FakeEnsemble

CHIPS = 50


def chip(value: int) -> Chips:
    return np.full((4, 4, 3), value, np.uint8)


def probability(answer: Verdict | ServiceError) -> float:
    assert isinstance(answer, Verdict)
    return answer.probabilities[0]


class Picky(FakeEnsemble):
    """Fails on every batch with a chip of one value, as a graph or a device might."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.bad = bad

    def vote(self, chips_BHWC: Chips, explain: bool = False) -> list[Verdict]:
        if (chips_BHWC == self.bad).any():
            raise RuntimeError("no such chip")
        return super().vote(chips_BHWC, explain)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("max_batch", [1, 8])
def test_answers_come_in_order_from_all_lanes(lanes: int, max_batch: int) -> None:
    ensemble = FakeEnsemble()
    ensemble.lane_count = lanes
    with Crew(lambda: ensemble, max_batch) as crew:
        answers = list(crew.verdicts((value, chip(value)) for value in range(CHIPS)))
    assert [key for key, _ in answers] == list(range(CHIPS))
    assert [probability(answer) for _, answer in answers] == list(range(CHIPS))
    assert max(ensemble.batch_sizes) <= max_batch


def test_an_error_in_a_chips_place_is_passed_on() -> None:
    broken = NoChip("broken")
    with Crew(FakeEnsemble, 4) as crew:
        answers = dict(crew.verdicts([("a", chip(1)), ("b", broken), ("c", chip(3))]))
    assert answers["b"] is broken
    assert [probability(answers[key]) for key in "ac"] == [1, 3]


def test_a_chip_that_the_voter_fails_on_costs_its_neighbours_nothing() -> None:
    with Crew(lambda: Picky(5), 8) as crew:
        answers = [answer for _, answer in crew.verdicts((value, chip(value)) for value in range(16))]
    assert isinstance(answers[5], ServiceError)
    assert [probability(answer) for answer in answers if answer is not answers[5]] == [
        *range(5),
        *range(6, 16),
    ]


def test_the_stream_is_drawn_on_no_further_than_the_lanes_can_take() -> None:
    drawn = 0

    def stream() -> Iterator[tuple[int, Chips]]:
        nonlocal drawn
        for value in range(1000):
            drawn += 1
            yield value % 250, chip(value % 250)

    with Crew(FakeEnsemble, 2) as crew:
        answers = crew.verdicts(stream())
        next(answers)
        assert drawn <= 10
        answers.close()  # type: ignore[attr-defined]


def test_a_voter_that_does_not_open_ends_the_thread() -> None:
    def refuse() -> FakeEnsemble:
        raise StartupError("no such device")

    with pytest.raises(StartupError, match="no such device"):
        Crew(refuse, 4)
