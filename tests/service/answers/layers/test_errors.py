from service.answers.layers.errors import LayerError
from service.contract.errors import StartupError


def test_it_ends_a_command_with_one_line() -> None:
    assert issubclass(LayerError, StartupError)
    assert LayerError("map.tif would hold two scenes").detail == "map.tif would hold two scenes"
