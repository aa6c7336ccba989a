import math

import pytest
from starlette.datastructures import QueryParams
from starlette.requests import Request

from service.contract.errors import InvalidParameter
from service.server.parameters import DOCUMENTED, PredictOptions, deadline_s, predict_options


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", PredictOptions()),
        ("members=true&evidence=false", PredictOptions(members=True)),
        ("footprint=true", PredictOptions(footprint=True)),
        ("evidence=true&format=png&label=a%20b", PredictOptions(evidence=True, format="png", label="a b")),
    ],
)
def test_a_query_is_what_is_wanted(query: str, expected: PredictOptions) -> None:
    assert predict_options(QueryParams(query)) == expected


@pytest.mark.parametrize("query", ["evidnce=true", "members=true&members=false", "format=png&format=png"])
def test_a_slip_is_no_silent_other_answer(query: str) -> None:
    with pytest.raises(InvalidParameter, match="each once: members, evidence, footprint, format, label"):
        predict_options(QueryParams(query))


@pytest.mark.parametrize("query", ["members=1", "evidence=", "footprint=True", "format=jpeg", "format=png"])
def test_a_value_that_it_cannot_have_is_named(query: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^{query}"):
        predict_options(QueryParams(query))


def test_a_closer_look_is_one_with_all_members() -> None:
    assert PredictOptions(members=True).explain and PredictOptions(evidence=True).explain
    assert not PredictOptions(footprint=True).explain


def test_every_parameter_is_documented() -> None:
    named = {(parameter["in"], parameter["name"]) for parameter in DOCUMENTED}
    assert named == {("query", name) for name in PredictOptions._fields} | {("header", "Prefer")}


@pytest.mark.parametrize(
    ("prefers", "allowed_s", "expected_s"),
    [
        ([], 60, 60),
        ([], 0, math.inf),
        (["wait=10"], 60, 10),
        (["wait=10"], 0, 10),
        (["wait=100"], 60, 60),
        (['respond-async, Wait = "7"'], 60, 7),
        (["return=minimal", "wait=5;x=1"], 60, 5),
        (["wait"], 60, 60),
        (["wait=-1"], 60, 60),
        (["wait=1.5"], 60, 60),
        (["await=1"], 60, 60),
        (["wait=" + "9" * 5000], 60, 60),
    ],
)
def test_a_client_may_wait_less_than_it_is_allowed_to(
    prefers: list[str], allowed_s: float, expected_s: float
) -> None:
    headers = [(b"prefer", value.encode()) for value in prefers]
    assert deadline_s(Request({"type": "http", "headers": headers}), allowed_s) == expected_s
