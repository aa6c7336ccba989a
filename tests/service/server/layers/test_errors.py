import pytest

from service.server.layers.errors import InvalidRows, NoRoom
from service.server.problems import response


@pytest.mark.parametrize(("kind", "status"), [(InvalidRows, 422), (NoRoom, 507)])
def test_each_is_a_problem_of_its_status(kind: type[InvalidRows] | type[NoRoom], status: int) -> None:
    answered = response(kind("what, and the fix"))
    assert answered.status_code == status
    assert b"what, and the fix" in answered.body
