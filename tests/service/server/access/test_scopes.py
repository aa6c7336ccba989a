from fastapi import APIRouter

from service.server.access.scopes import Needed, anybody, needs


def test_a_path_asks_for_what_its_route_says_and_for_nothing_if_it_says_so() -> None:
    router = APIRouter()
    for path, says in (
        ("/labels", needs("predict")),
        ("/live", anybody()),
        ("/silent", {}),
        ("/of/{name}", needs("predict")),
    ):
        router.get(path, openapi_extra=says)(lambda: None)
    router.get("/trial", openapi_extra=needs("metrics"))(lambda: None)
    router.post("/trial", openapi_extra=needs("admin"))(lambda: None)
    needed = Needed(router.routes, ["/page"])
    asked = {
        ("GET", "/labels"): "predict",
        ("PUT", "/labels"): "predict",  # nobody is there
        ("GET", "/live"): None,
        ("GET", "/page"): None,
        ("POST", "/page"): None,
        ("GET", "/silent"): "admin",
        ("GET", "/of/{name}"): "admin",
        ("GET", "/nothing"): "admin",
        ("GET", "/trial"): "metrics",
        ("POST", "/trial"): "admin",
        ("PUT", "/trial"): "admin",
    }
    assert {case: needed.of(*case) for case in asked} == asked
