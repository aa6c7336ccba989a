from fastapi import APIRouter

from service.server.access.scopes import anybody, needed, needs


def test_a_path_asks_for_what_its_route_says_and_for_nothing_if_it_says_so() -> None:
    router = APIRouter()
    for path, says in (
        ("/labels", needs("predict")),
        ("/live", anybody()),
        ("/silent", {}),
        ("/of/{name}", needs("predict")),
    ):
        router.get(path, openapi_extra=says)(lambda: None)
    assert needed(router.routes) == {"/labels": "predict", "/live": None}
