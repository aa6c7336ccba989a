"""The page of a service that asks for keys."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from service.server.access.keys import mint
from service.settings import Settings
from tests.browser.conftest import upload
from tests.browser.test_access import serious
from tests.kit.fakes import GREEN, RED, encoded, picture
from tests.kit.serving import serving

CHIPS = [
    upload(f"{name}.png", encoded(picture(colour), "PNG")) for name, colour in (("a", RED), ("b", GREEN))
]


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str, str]:
    """A file of keys, a token for chips and one for metrics alone."""
    (good, a), (other, b) = mint("page", scopes=["predict"]), mint("scraper", scopes=["metrics"])
    path = tmp_path / "keys.toml"
    path.write_text(f"{a}\n{b}", encoding="utf-8")
    return path, good, other


@pytest.fixture
def guarded(settings: Settings, keys: tuple[Path, str, str]) -> Iterator[httpx2.Client]:
    with serving(settings.model_copy(update={"keys": keys[0]})) as client:
        yield client


def give(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_label("Key").press("Enter")


def test_a_key_is_asked_for_kept_in_the_tab_and_sent(
    browser: Browser, guarded: httpx2.Client, keys: tuple[Path, str, str]
) -> None:
    path, good, other = keys
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{guarded.base_url}/")
    expect(page.locator("#alert")).to_contain_text("this needs a key")
    assert serious(page) == []
    page.set_input_files("#files", CHIPS)  # they wait
    give(page, "wrong")
    expect(page.locator("#alert")).to_contain_text("not known here")
    give(page, other)
    expect(page.locator("#alert")).to_contain_text("needs a key with the scope predict")
    give(page, f" {good} ")
    expect(page.locator("#status")).to_have_text("2 chips labelled")
    expect(page.locator("#alert")).to_be_hidden()
    expect(page.locator("#ask-key")).to_be_hidden()
    page.reload()
    expect(page.locator("#model")).to_have_text("colours 1.2.3")
    assert page.evaluate("[localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]

    path.write_text(mint("new", scopes=["predict"])[1], encoding="utf-8")
    page.wait_for_timeout(1100)
    page.set_input_files("#files", CHIPS)
    expect(page.locator("#alert")).to_contain_text("not known here")
    fresh = context.new_page()
    fresh.goto(f"{guarded.base_url}/")
    expect(fresh.locator("#alert")).to_contain_text("this needs a key")
    assert faults == []
    context.close()
