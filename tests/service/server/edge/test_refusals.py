from service.contract.errors import Overloaded
from service.server.edge.errors import HeadersTooLarge
from service.server.edge.refusals import refusal
from tests.kit.wire import problem_of

DATE = (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")


def test_a_refusal_is_a_whole_answer() -> None:
    problem = problem_of(refusal(HeadersTooLarge("too much – send less"), [DATE]))
    assert problem.pop("request_id")
    assert problem == {
        "type": "about:blank",
        "title": "Headers too large",
        "status": 431,
        "detail": "too much – send less",
    }


def test_who_is_to_come_again_is_told_when() -> None:
    assert problem_of(refusal(Overloaded("full"), [DATE]))["status"] == 503
