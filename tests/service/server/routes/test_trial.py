"""A bundle that is tried unseen, over real HTTP."""

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.settings import Settings
from tests.kit.fakes import BLACK, LABELS, make_bundle
from tests.kit.serving import serving
from tests.kit.swaps import (
    CHIPS,
    COLOURS,
    ended,
    hasty_members,
    make_versions,
    predict,
    sample,
    swapped,
    version,
)
from tests.service.server.test_problems import assert_problem


def waited(client: httpx2.Client, chips: int) -> dict[str, Any]:
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s:
        found: dict[str, Any] = client.get("/shadow").json()
        if found["chips"] >= chips:
            return found
        time.sleep(0.02)
    raise AssertionError(found)


@pytest.mark.parametrize("kept", [256, 0], ids=["chips kept", "none kept"])
def test_a_candidate_is_tried_unseen(tmp_path: Path, settings: Settings, kept: int) -> None:
    make_versions(tmp_path, "2.0")
    make_bundle(tmp_path / "2.1", version="2.1", members=hasty_members((3,)))
    update = {"bundle": tmp_path / "2.0", "bundles": tmp_path, "swap_chips": kept}
    with serving(settings.model_copy(update=update)) as client:
        assert client.get("/shadow").json()["candidate"] is None
        found = swapped(client, "2.1", "/shadow", share=1)
        assert (found["shadow"], found["serving"]["version"], found["other"]["version"]) == (
            True,
            "2.0",
            "2.1",
        )
        for chip in CHIPS:
            said = predict(client, chip)
            assert version(said) == "2.0"
        shadow = waited(client, chips=4)
        dark = COLOURS.index(BLACK)
        assert said.json()["predictions"][0]["labels"] == ["dark"]
        assert shadow["different"] == len(COLOURS) - 1  # the candidate sees dark everywhere
        assert shadow["labels"] == [{"label": LABELS[dark], "added": 3, "removed": 0}]
        assert (shadow["serving"], shadow["candidate"], shadow["share"]) == ("2.0", "2.1", 1)
        assert sample(client, 'chipvote_shadow_chips_total{outcome="different"}') == 3
        assert sample(client, 'chipvote_shadow_labels_total{change="added",label="dark"}') == 3
        assert swapped(client, "2.1")["serving"]["version"] == "2.1"  # it has been proven
        assert client.get("/shadow").json()["candidate"] is None


def test_a_trial_can_be_ended(tmp_path: Path, settings: Settings) -> None:
    make_versions(tmp_path, "1.0", "1.1")
    with serving(settings.model_copy(update={"bundle": tmp_path / "1.0", "bundles": tmp_path})) as client:
        assert_problem(client.delete("/shadow"), 409)
        swapped(client, "1.1", "/shadow", share=0.5)
        assert client.delete("/shadow").status_code == 202
        found = ended(client)
        assert (found["shadow"], found["other"], found["serving"]["version"]) == (False, None, "1.0")
        assert predict(client, version="1.1").status_code == 422
