"""What could only fail hours later is refused at once."""

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.kit import stripes
from training.config.schema import RunConfig, checked


def test_what_could_only_fail_hours_later_is_refused() -> None:
    with pytest.raises(ValueError, match="members repeat a name: test_byobnet, test_byobnet; give each"):
        replace(stripes.CONFIG, members=(stripes.WHOLE, stripes.WHOLE))
    with pytest.raises(ValueError, match="test_byobnet: the run's chips have no band nir"):
        replace(stripes.CONFIG, members=(replace(stripes.WHOLE, bands=("red", "nir")),))


AT_LEAST_1 = "greater than or equal to 1"
NAN, INFINITE = float("nan"), float("inf")
MEMBER_RANGES: list[tuple[str, list[Any], list[Any], str]] = [  # field, taken, refused, what the refusal says
    (
        "name",
        ["a", "net-2.b_C"],
        ["../net", "a/b", "net.", "."],
        "names files; use letters, digits, . _ and -",
    ),
    ("size_px", [32], [0, 31], "greater than or equal to 32"),
    ("bands", [("red",)], [()], "is empty; name at least one"),
    ("bands", [("red", "green")], [("red", "red")], "name each once"),
    ("epochs", [1], [0, -1], AT_LEAST_1),
    ("batch_size", [1], [0, -1], AT_LEAST_1),
    ("staged_epochs", [1], [0], AT_LEAST_1),
    ("warmup_epochs", [0, 1], [-1], "greater than or equal to 0"),
    ("learning_rate", [1e-9], [0.0, -1.0], "greater than 0"),
    ("learning_rate", [10.0], [NAN, INFINITE], "a finite number"),
    ("backbone_rate", [0.0], [-1.0], "greater than or equal to 0"),
    ("backbone_rate", [2.0], [NAN, INFINITE], "a finite number"),
    ("weight_decay", [0.0], [-1.0], "greater than or equal to 0"),
    ("weight_decay", [2.0], [NAN, INFINITE], "a finite number"),
    ("dropout", [0.0, 0.9], [1.0, NAN], "less than 1"),
    ("dropout", [], [-0.1], "greater than or equal to 0"),
    ("label_smoothing", [0.0, 0.9], [1.0, NAN], "less than 1"),
    ("label_smoothing", [], [-0.1], "greater than or equal to 0"),
    ("oversample", [0.0, 1.0], [1.5, NAN], "less than or equal to 1"),
    ("oversample", [], [-0.1], "greater than or equal to 0"),
    ("ema_decay", [None, 0.5], [1.0, NAN], "less than 1"),
    ("ema_decay", [], [0.0], "greater than 0"),
    ("clip_norm", [None, 0.1], [0.0, -1.0, NAN], "greater than 0"),
]
DECISION_RANGES: list[tuple[str, list[Any], list[Any], str]] = [
    ("beta", [0.5], [0.0, -1.0], "greater than 0"),
    ("beta", [2.0], [NAN, INFINITE], "a finite number"),
    ("prior", [0.2], [1.0, 3.0, NAN], "less than 1"),
    ("prior", [0.5], [0.0], "greater than 0"),
    ("shrinkage", [0.0, 1.0, "usual", None], [-4.0, NAN, INFINITE], "use 0 or more, 'usual' or None"),
    ("bags", [0, 1], [-1], "greater than or equal to 0"),
]
RUN_RANGES: list[tuple[str, list[Any], list[Any], str]] = [
    ("members", [], [()], "is empty; name at least one"),
    ("folds", [2], [1, 0], "greater than or equal to 2"),
    ("precisions", [], [()], "is empty; name at least one"),
    ("precisions", [("int8", "float16")], [("int8", "int8")], "name each once"),
    ("height_px", [1], [0], AT_LEAST_1),
    ("width_px", [1], [0], AT_LEAST_1),
    ("seed", [0, 2**32 - 1], [-1], "greater than or equal to 0"),
    ("seed", [], [2**32], f"less than {2**32}"),
    ("calibration_chips", [1], [0], AT_LEAST_1),
    ("check_chips", [1], [0], AT_LEAST_1),
    ("max_steps", [None, 1], [0], AT_LEAST_1),
]


def whole_run(part: str, name: str, value: object) -> RunConfig:
    changes: dict[str, Any] = {name: value}
    match part:
        case "members.0.":
            return replace(stripes.ONE_WHOLE, members=(replace(stripes.WHOLE, **changes),))
        case "decision.":
            return replace(stripes.ONE_WHOLE, decision=replace(stripes.ONE_WHOLE.decision, **changes))
        case _:
            return replace(stripes.ONE_WHOLE, **changes)


@pytest.mark.parametrize(
    ("part", "name", "taken", "refused", "accepted"),
    [
        (part, *row)
        for part, rows in (("members.0.", MEMBER_RANGES), ("decision.", DECISION_RANGES), ("", RUN_RANGES))
        for row in rows
    ],
)
def test_a_field_says_its_range(
    part: str, name: str, taken: list[Any], refused: list[Any], accepted: str
) -> None:
    for value in taken:
        assert checked(whole_run(part, name, value)) == whole_run(part, name, value)
    for value in refused:
        shown = list(value) if isinstance(value, tuple) else value
        message = f"^{re.escape(f'{part}{name}={shown!r}: ')}.*{re.escape(accepted)}$"
        with pytest.raises(ValueError, match=message):
            checked(whole_run(part, name, value))


def test_everything_out_of_range_is_listed_at_once() -> None:
    member = replace(stripes.WHOLE, epochs=0, dropout=2.0)
    with pytest.raises(ValueError, match=r"(?s)^members.0.epochs=0.*dropout=2.*folds=1: [^\n]*$") as caught:
        checked(replace(stripes.ONE_WHOLE, folds=1, members=(member,)))
    assert len(str(caught.value).splitlines()) == 3
