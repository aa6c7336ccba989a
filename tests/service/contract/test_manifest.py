import pytest
from pydantic import ValidationError

from service.contract.bundle import Bundle
from service.contract.manifest import FileRef, InputSpec, Manifest, Scores


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


def test_a_band_that_no_file_gives_is_named() -> None:
    with pytest.raises(ValidationError, match=r"bands\.1\s.*'red' or 'near infrared'.*'ultraviolet'"):
        InputSpec(bands=("red", "ultraviolet"), height=8, width=8)


def test_precisions_are_those_of_every_member(colours: Bundle) -> None:
    first, *others = colours.manifest.members
    members = (
        first.model_copy(update={"graphs": {**first.graphs, "int8": first.graphs["float32"]}}),
        *others,
    )
    assert colours.manifest.model_copy(update={"members": members}).precisions == {"float32"}


def test_the_order_of_an_early_exit_names_every_member_once(colours: Bundle) -> None:
    facts = colours.manifest.model_dump()
    assert facts["early_exit"] is None
    early_exit = {
        "order": (2, 0, 1),
        "costs": (1, 1.5, 2),
        "chips": 9,
        "mean_members": 2.1,
        "cost_share": 0.7,
    }
    found = Manifest.model_validate({**facts, "early_exit": early_exit}).early_exit
    assert found and found.order == (2, 0, 1)
    for wrong in ({"order": (0, 1)}, {"order": (0, 1, 1)}, {"order": (1, 2, 3)}, {"costs": (1.0, 1.0)}):
        with pytest.raises(ValidationError, match="early_exit"):
            Manifest.model_validate({**facts, "early_exit": early_exit | wrong})


def test_intervals_are_optional_and_rise_within_0_to_1(colours: Bundle) -> None:
    facts = colours.manifest.scores.model_dump()
    assert facts["sample_f2_interval"] is None and facts["group_f2_intervals"] == {}
    assert facts["labels"][0]["f2_interval"] is None
    assert Scores.model_validate({**facts, "macro_f2_interval": [0.25, 0.5]}).macro_f2_interval == (0.25, 0.5)
    for wrong in ([0.5, 0.25], [-0.5, 0.5], [0.5, 1.5], [0.5], [float("nan")] * 2):
        for field in (
            {"sample_f2_interval": wrong},
            {"group_f2_intervals": {"colour": wrong}},
            {"labels": [{**facts["labels"][0], "average_precision_interval": wrong}]},
        ):
            with pytest.raises(ValidationError, match="_interval"):
                Scores.model_validate({**facts, **field})
