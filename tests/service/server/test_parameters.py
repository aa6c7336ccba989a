import pytest
from starlette.datastructures import QueryParams

from service.contract.errors import InvalidParameter
from service.server.parameters import DOCUMENTED, Wanted, wanted


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Wanted()),
        ("members=true&evidence=false", Wanted(members=True)),
        ("footprint=true", Wanted(footprint=True)),
        ("evidence=true&format=png&label=a%20b", Wanted(evidence=True, format="png", label="a b")),
    ],
)
def test_a_query_is_what_is_wanted(query: str, expected: Wanted) -> None:
    assert wanted(QueryParams(query)) == expected


@pytest.mark.parametrize("query", ["evidnce=true", "members=true&members=false", "format=png&format=png"])
def test_a_slip_is_no_silent_other_answer(query: str) -> None:
    with pytest.raises(InvalidParameter, match="each once: members, evidence, footprint, format, label"):
        wanted(QueryParams(query))


@pytest.mark.parametrize("query", ["members=1", "evidence=", "footprint=True", "format=jpeg", "format=png"])
def test_a_value_that_it_cannot_have_is_named(query: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^{query}"):
        wanted(QueryParams(query))


def test_a_closer_look_is_one_with_all_members() -> None:
    assert Wanted(members=True).closely and Wanted(evidence=True).closely
    assert not Wanted(footprint=True).closely


def test_every_parameter_is_documented() -> None:
    assert {parameter["name"] for parameter in DOCUMENTED} == set(Wanted._fields)
