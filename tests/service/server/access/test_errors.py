import pytest

from service.server.access import errors


@pytest.mark.parametrize(
    ("kind", "status"), [(errors.NoKey, 401), (errors.MissingScope, 403), (errors.TooManyRequests, 429)]
)
def test_who_may_not_is_refused_as_http_says(kind: type[errors.AccessError], status: int) -> None:
    assert kind.status == status
