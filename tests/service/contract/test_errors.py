import sys
from collections.abc import Iterator

import pytest

from service.contract import errors
from service.contract.errors import ServiceError, StartupError


def descendants(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


@pytest.mark.parametrize("kind", list(descendants(ServiceError)), ids=lambda kind: kind.__name__)
def test_every_error_fixes_its_status_and_title_and_says_when_it_is_raised(kind: type[ServiceError]) -> None:
    assert (kind.__doc__ or "").startswith("Raised")
    trees = (errors.__doc__ or "") + (sys.modules[kind.__module__].__doc__ or "")
    assert kind.__name__ in trees
    assert kind("what was wrong").detail == "what was wrong"
    if not issubclass(kind, StartupError):
        assert 400 <= kind.status < 600 and kind.status != 500
        assert kind.title != ServiceError.title
