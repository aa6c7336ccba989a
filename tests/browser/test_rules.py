"""The page with other rules than a plain vote: it says what its numbers are, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from service.contract.rules import Blend, ExpectedF, Rule
from service.settings import Settings
from tests.browser.conftest import drop, finished, upload
from tests.kit.fakes import LABELS, MAJORITY, MEMBERS, RED, encoded, make_bundle, picture
from tests.kit.serving import serving

IDENTITY = tuple(tuple(float(row == column) / MEMBERS for column in range(4)) for row in range(4))
BLEND = Blend(
    coefficients=(IDENTITY,) * MEMBERS, intercepts=(0.0,) * 4, thresholds=(0.5, 0.25, 0.125, 0.0625)
)
EXPECTED_F = ExpectedF(beta=2.0, weights=((1,) * 4,) * MEMBERS, knots=(((0.0, 0.0), (1.0, 1.0)),) * 4)
SOME_SILENT = MAJORITY.model_copy(
    update={"weights": ((3,) * 4, (1,) * 4, (0,) * 4), "quorum": (2,) * 4}  # the third member has no say
)


@pytest.mark.parametrize(
    ("rule", "votes", "ticks", "dots", "legend", "thresholds"),
    [
        (BLEND, "", 1, MEMBERS, "score, from all members", "0.50"),
        (EXPECTED_F, "", 0, MEMBERS, "calibrated probability", "–"),
        (SOME_SILENT, "4/4", 2, 2, "votes for the label", "0.50 0.50 0.50"),
    ],
    ids=["blend", "expected F", "a member without a say"],
)
def test_a_row_and_the_card_say_what_the_rule_does(
    show: Callable[..., Page],
    tmp_path: Path,
    rule: Rule,
    votes: str,
    ticks: int,
    dots: int,
    legend: str,
    thresholds: str,
) -> None:
    folder = make_bundle(tmp_path / "bundle", rule=rule).folder
    with serving(Settings(bundle=folder, device="cpu")) as service:
        page = show(service=service)
        drop(page, upload("red.png", encoded(picture(RED), "PNG")))
        row = page.locator(".row", has_text=LABELS[0])
        expect(row.locator(".votes")).to_have_text(votes)
        assert row.locator(".tick").count() == ticks
        assert row.locator(".dot").count() == dots
        page.locator(".legend summary").click()
        expect(page.locator(".legend")).to_contain_text(legend)
        shown = [text for text in page.locator(".legend li:visible").all_inner_texts() if "votes" in text]
        assert bool(shown) == bool(votes)
        page.get_by_role("tab", name="Model card").click()
        cell = page.locator("#card tbody tr").first.locator("td").last
        expect(cell).to_have_text(thresholds)


def test_disagreement_is_of_those_who_have_a_say(show: Callable[..., Page], tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle", rule=SOME_SILENT).folder
    with serving(Settings(bundle=folder, device="cpu")) as service:
        page = show(service=service)
        data = encoded(picture((90, 40, 20)), "PNG")
        page.set_input_files("#files", [upload("a.png", data), upload("b.png", data)])
        finished(page, 2)
        page.select_option("#sort", "disagreement")
        (prediction,) = service.post("/predict?members=true", files={"chip": data}).json()["predictions"]
        spread = max(abs(score["members"][0] - score["members"][1]) for score in prediction["scores"])
        expect(page.locator(".card .number").first).to_have_text(f"apart {spread:.2f}")
