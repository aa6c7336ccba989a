import pytest

from service.contract.errors import Overloaded
from service.server.body_budget import Budget, Share


def fill(share: Share, piece_bytes: int = 1) -> int:
    """Take as long as there is; return how much that was."""
    held_bytes = 0
    while True:
        try:
            share.take(piece_bytes)
        except Overloaded:
            return held_bytes
        held_bytes += piece_bytes


def test_one_body_may_have_half_of_the_budget_and_gives_it_back() -> None:
    budget = Budget(1000)
    for _ in range(2):
        with Share(budget) as share:
            assert fill(share) == 500
            assert budget.taken_bytes == 500
        assert budget.taken_bytes == 0


def test_what_an_error_ends_is_given_back_too() -> None:
    budget = Budget(1000)
    with pytest.raises(ZeroDivisionError), Share(budget) as share:
        share.take(400)
        raise ZeroDivisionError
    assert budget.taken_bytes == 0


def test_expecting_takes_nothing() -> None:
    budget = Budget(1000)
    share = Share(budget)
    share.expect(500)
    with pytest.raises(Overloaded, match="send it again"):
        share.expect(501)
    assert budget.taken_bytes == 0


def test_however_many_stall_small_bodies_get_through() -> None:
    budget = Budget(1 << 30)
    greedy = [Share(budget) for _ in range(16)]
    for share in greedy:
        fill(share, 1 << 16)
    assert budget.taken_bytes <= 1 << 30
    with Share(budget) as small:
        small.take(10_000)
    # The first had half, the next a half of the rest: those that come together share more evenly.
    together = Budget(1 << 30)
    held = [Share(together) for _ in range(15)]
    rounds = 0
    while True:
        try:
            for share in held:
                share.take(1 << 16)
        except Overloaded:
            break
        rounds += 1
    assert rounds * (1 << 16) == pytest.approx((1 << 30) / 16, rel=0.01)
