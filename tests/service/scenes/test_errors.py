import pytest

from service.contract.errors import ServiceError, StartupError
from service.scenes.errors import LackingExtra, NotAScene, SceneError, SceneTooLarge, Skipped


@pytest.mark.parametrize(
    ("kind", "parent", "status"),
    [(SceneError, ServiceError, 422), (NotAScene, SceneError, 415), (SceneTooLarge, SceneError, 413)],
)
def test_each_says_how_http_would_answer(
    kind: type[ServiceError], parent: type[ServiceError], status: int
) -> None:
    assert issubclass(kind, parent)
    assert kind.status == status
    assert kind("why").detail == "why"


def test_a_skipped_window_is_no_bad_scene_and_a_lacking_extra_ends_a_command() -> None:
    assert not issubclass(Skipped, SceneError)
    assert issubclass(LackingExtra, StartupError)
