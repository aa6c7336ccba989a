from service.engine.queue.promises import LONGEST_S, PATIENCE_S, Promises

PER_S = 10.0


def given(promises: Promises, asker: str, now_s: float = 0.0) -> int:
    return promises.give(asker, now_s, 0.0, 1 / PER_S)


def test_one_after_the_other_is_told_to_come_at_half_the_rate() -> None:
    promises = Promises()
    waits = [given(promises, "somebody") for _ in range(50)]
    assert waits[:12] == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3]
    assert waits[-1] == 10


def test_a_promise_is_kept_for_its_asker_when_its_time_has_come() -> None:
    promises = Promises()
    assert given(promises, "early") == 1
    assert not promises.due("early", 0.9)
    assert promises.due("early", 1.0) and promises.due("early", 1.0)
    assert not promises.due("another", 1.0)
    assert promises.kept(64, 1.0) == 1
    promises.keep("early")
    assert promises.kept(64, 1.0) == 0
    assert not promises.due("early", 1.0)


def test_what_nobody_comes_for_is_kept_for_a_while() -> None:
    promises = Promises()
    given(promises, "gone")
    assert promises.due("gone", 1 + PATIENCE_S)
    assert not promises.due("gone", 1.1 + PATIENCE_S)
    assert promises.kept(64, 1.1 + PATIENCE_S) == 0


def test_half_of_all_places_are_kept_at_most_and_none_for_a_later_time() -> None:
    promises = Promises()
    for number in range(100):
        given(promises, str(number))
    assert promises.kept(8, 1.0) == 4
    assert promises.kept(1, 1.0) == 0
    assert promises.kept(1000, 1.0) == 10  # of the first two seconds


def test_nobody_is_promised_what_is_too_far_away() -> None:
    promises = Promises()
    assert promises.give("last", 0.0, 1000.0, 0.1) == LONGEST_S
    assert not promises.due("last", LONGEST_S)
    assert given(promises, "first") == 1
