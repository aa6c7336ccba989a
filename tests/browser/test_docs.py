"""`/docs` in a browser: at the root of a host, and below a path of another one."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.kit.nginx import needs_nginx, nginx


@pytest.fixture(params=["root", pytest.param("below", marks=needs_nginx)])
def home(request: pytest.FixtureRequest, client: httpx2.Client, tmp_path: Path) -> Iterator[str]:
    """Where the service is found."""
    if request.param == "root":
        yield str(client.base_url).rstrip("/")
        return
    place = f"location /some/path/ {{ proxy_pass {str(client.base_url).rstrip('/')}/; }}"
    with nginx(tmp_path, place) as url:
        yield f"{url}/some/path"


def test_the_documentation_shows_and_tries_every_operation(browser: Browser, home: str) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{home}/docs")
    expect(page.locator(".opblock")).to_have_count(14)
    page.locator("#operations-model-labels .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    assert f"{home}/labels" in asked
    assert all(url.startswith((home, "data:")) for url in asked)
    assert not complaints
    context.close()
