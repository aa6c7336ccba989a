from service.contract.errors import StartupError
from service.offline.bulk import errors


def test_each_is_one_line_of_the_command() -> None:
    assert {
        kind.__name__ for kind in StartupError.__subclasses__() if kind.__module__ == errors.__name__
    } == {
        "InputError",
        "PlanError",
        "WorkersLost",
        "SourceLost",
    }
