import pytest

from service.contract.errors import RequestError
from service.server.edge import errors


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.MalformedRequest, 400),
        (errors.ForeignPage, 403),
        (errors.SlowRequest, 408),
        (errors.AddressTooLong, 414),
        (errors.HeadersTooLarge, 431),
    ],
)
def test_what_comes_before_a_body_is_refused_as_http_says(kind: type[RequestError], status: int) -> None:
    assert kind.status == status
