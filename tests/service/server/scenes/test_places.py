from contextlib import ExitStack

import pytest

from service.contract.errors import Overloaded
from service.server.scenes.places import Places


def test_there_are_so_many_and_they_are_given_back() -> None:
    places = Places(2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(places.hold(None))
        with pytest.raises(Overloaded, match="2 scenes"), places.hold(None):
            pass
        with pytest.raises(Overloaded):
            places.check(None)
    places.check(None)


def test_a_key_has_no_more_than_it_leaves_to_others() -> None:
    for most, for_one in ((2, 1), (3, 1), (4, 2)):
        places = Places(most)
        with ExitStack() as held:
            for _ in range(for_one):
                held.enter_context(places.hold("alice"))
            with pytest.raises(Overloaded):
                places.check("alice")
            for _ in range(for_one):
                held.enter_context(places.hold("bob"))


def test_a_single_place_is_anybody_s() -> None:
    places = Places(1)
    with places.hold("alice"), pytest.raises(Overloaded):
        places.check("bob")
    places.check("bob")
