import pytest

from service.server.problems import response
from service.server.scenes.errors import LostScene, MissingExtra


@pytest.mark.parametrize(("kind", "status"), [(MissingExtra, 501), (LostScene, 422)])
def test_each_is_a_problem_of_its_status(kind: type[MissingExtra] | type[LostScene], status: int) -> None:
    answered = response(kind("what, and the fix"))
    assert answered.status_code == status
    assert b"what, and the fix" in answered.body
