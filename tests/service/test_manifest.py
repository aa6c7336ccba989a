import pytest
from pydantic import ValidationError

from service.bundle import Bundle, FileRef, Manifest


def test_the_manifest_survives_json(colours: Bundle) -> None:
    assert Manifest.model_validate_json(colours.manifest.model_dump_json()) == colours.manifest


def test_nothing_can_be_changed_or_added(colours: Bundle) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        colours.manifest.version = "2"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Manifest.model_validate({**colours.manifest.model_dump(), "threshold": 0.5})


@pytest.mark.parametrize("path", ["../graph.onnx", "/graph.onnx", "a\\b.onnx", ""])
def test_no_path_leaves_the_folder(path: str) -> None:
    with pytest.raises(ValidationError, match="leaves the bundle's folder"):
        FileRef(path=path, sha256="0" * 64, size_bytes=1)


def test_precisions_are_those_of_every_member(colours: Bundle) -> None:
    first, *others = colours.manifest.members
    members = (
        first.model_copy(update={"graphs": {**first.graphs, "int8": first.graphs["float32"]}}),
        *others,
    )
    assert colours.manifest.model_copy(update={"members": members}).precisions == {"float32"}
