"""Behind nginx: every answer arrives as it was given, and all works below another host's path."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

from service.client import Client
from tests.kit.fakes import RED, encoded, picture
from tests.kit.nginx import needs_nginx, nginx

pytestmark = needs_nginx

PREFIX = "/some/path"
RED_PNG = encoded(picture(RED), "PNG")
LARGE = bytes(5 << 20)  # more than the limit
FORM = {"content-type": "multipart/form-data; boundary=edge"}
PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def proxied(client: httpx2.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service at a proxy's root, which speaks HTTP/1.0 to it as nginx does by itself."""
    with nginx(tmp_path_factory.mktemp("root"), f"location / {{ proxy_pass {client.base_url}; }}") as url:
        yield url


@pytest.fixture(scope="module")
def below(client: httpx2.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service below a path of a host whose root is somebody else's; no header tells it so."""
    place = f"location {PREFIX}/ {{ proxy_pass {client.base_url}/; }} location / {{ return 404; }}"
    with nginx(tmp_path_factory.mktemp("below"), place) as url:
        yield f"{url}{PREFIX}"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/predict", {"content-type": "application/octet-stream"}, 415),
        ("POST", "/predict", PNG | {"content-encoding": "gzip"}, 415),
        ("POST", "/predict", PNG, 413),
        ("POST", "/predict", FORM, 413),
        ("POST", "/predict?members=perhaps", PNG, 422),
        ("POST", "/preview", {}, 415),
        ("POST", "/preview", PNG, 413),
        ("POST", "/nowhere", PNG, 404),
        ("POST", "/labels", PNG, 405),
        ("PUT", "/predict", PNG, 405),
        ("POST", "/predict/", PNG, 307),
    ],
)
def test_an_answer_before_the_body_was_read_arrives(
    proxied: str, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    with httpx2.Client(base_url=proxied, timeout=60) as http:
        found = [http.request(method, path, headers=headers, content=LARGE).status_code for _ in range(3)]
    assert found == [status] * 3


def test_the_documentation_asks_for_nothing_outside_its_path(below: str) -> None:
    page = httpx2.get(f"{below}/docs", timeout=60)
    addresses = [part.split('"')[0] for mark in ('src="', 'href="') for part in page.text.split(mark)[1:]] + [
        page.text.split("url: '")[1].split("'")[0]
    ]
    assert len(addresses) == 4
    for address in addresses:
        found = urljoin(str(page.url), address)
        assert found.startswith(below)
        assert httpx2.get(found, timeout=60).status_code == 200


def test_the_description_names_the_place_that_it_came_from(below: str) -> None:
    described = httpx2.get(f"{below}/openapi.json", timeout=60)
    (server,) = described.json()["servers"]
    operation = urljoin(str(described.url), f"{server['url']}/labels")
    assert operation == f"{below}/labels"


@pytest.mark.parametrize("path", ["predict/", "predict/?members=true"])
def test_a_redirect_stays_below_the_path(below: str, path: str) -> None:
    answer = httpx2.post(f"{below}/{path}", content=RED_PNG, headers=PNG, follow_redirects=True, timeout=60)
    assert answer.status_code == 200
    assert str(answer.url) == f"{below}/{path.replace('/', '', 1)}"
    assert ("members" in answer.json()["predictions"][0]["scores"][0]) == ("members" in path)


def test_the_client_works_below_a_path(below: str, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED_PNG)
    (result,) = Client(below).predict([tmp_path / "red.png"])
    assert "labels" in result, result
    assert result["labels"] == ["reddish"]
