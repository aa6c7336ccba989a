"""The page's files over HTTP; what it does is tested in a browser (`tests/browser`)."""

import re

import httpx2
import pytest

from service.contract.bundle import Bundle
from service.server.page import FOLDER
from service.settings import Settings
from tests.kit.serving import serving
from tests.service.server.test_problems import assert_problem

MOST_BYTES = 150_000  # of all files together


def test_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= MOST_BYTES


def test_the_page_asks_for_files_that_are_there_and_for_no_others(client: httpx2.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    asked = set(re.findall(r'(?:src|href)="(web/[^"]+)"', page.text))
    imported = {
        f"web/{name}"
        for script in FOLDER.glob("*.js")
        for name in re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8"))
    }
    assert imported <= asked, "preload it, or it is fetched one round trip later"
    assert asked == {f"web/{file.name}" for file in FOLDER.iterdir()} - {"web/index.html"}
    for path in asked:
        assert client.get(f"/{path}").status_code == 200


@pytest.mark.parametrize(
    ("name", "kind"), [("app.js", "javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")]
)
def test_a_file_has_its_type_and_is_sent_again_only_if_it_changed(
    client: httpx2.Client, name: str, kind: str
) -> None:
    first = client.get(f"/web/{name}")
    assert kind in first.headers["content-type"]
    again = client.get(f"/web/{name}", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


def test_nothing_but_the_page_s_own_files_may_run_or_be_asked_for(client: httpx2.Client) -> None:
    for path in ("/", "/web/app.js"):
        policy = dict(
            part.strip().split(" ", 1)
            for part in client.get(path).headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert not any("unsafe" in sources or "http" in sources for sources in policy.values())
    page = client.get("/").text
    assert not re.search(r"<script(?![^>]+src=)|<style| style=| on[a-z]+=|https?://", page)


def policy_of(client: httpx2.Client) -> str:
    return str(client.get("/").headers["content-security-policy"])


def test_a_background_is_let_in_where_a_setting_names_it_and_nowhere_else(
    client: httpx2.Client, colours: Bundle
) -> None:
    assert client.get("/web/tiles.json").json() == {"address": "", "attribution": ""}
    plain = policy_of(client)
    address = "https://tile.example:8443/maps/{z}/{x}/{y}.png"
    settings = Settings(bundle=colours.folder, device="cpu", tiles=address, tiles_attribution="© us")
    with serving(settings) as mapped:
        assert mapped.get("/web/tiles.json").json() == {"address": address, "attribution": "© us"}
        assert policy_of(mapped) == plain.replace("blob:", "blob: https://tile.example:8443")


@pytest.mark.parametrize("path", ["/web/nothing.js", "/web/..%2fapi.py", "/web/%2e%2e/api.py", "/web/"])
def test_there_is_nothing_else(client: httpx2.Client, path: str) -> None:
    assert_problem(client.get(path), 404)
