import pytest
from starlette.datastructures import QueryParams

from service.contract.errors import InvalidParameter
from service.server.parameters import DOCUMENTED, PredictOptions, predict_options


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
    assert {parameter["name"] for parameter in DOCUMENTED} == set(PredictOptions._fields)
