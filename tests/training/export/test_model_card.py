import pytest

from service.contract.bundle import Bundle
from service.contract.rules import Blend, Cooccurrence, ExpectedF, Rule, Vote
from tests.kit import stripes
from training.data.dataset import Blank
from training.evaluation.evaluate import read_scores
from training.evaluation.metrics import table
from training.export.model_card import render
from training.run.folder import Run


def test_the_card_tells_people_what_the_manifest_says(exported: tuple[Run, Bundle]) -> None:
    run, bundle = exported
    manifest, in_sample = bundle.manifest, read_scores(run)["in-sample"]
    card = render(manifest, in_sample)
    assert card == (bundle.folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# tiny 0.0.1\n\nStripes.\n\n")
    assert "at least 2 of 2 members" in card
    assert "64×64 px chips, bands red, green, blue" in card
    assert table(manifest.scores) in card
    assert f"would show sample F2 {in_sample.sample_f2:.4f}" in card
    assert f"compared with PyTorch on {stripes.CHIPS} training chips" in card
    for member in manifest.members:
        for precision, graph in member.graphs.items():
            size = f"{graph.file.size_bytes / 1e6:.1f} MB"
            assert f"| {member.name} | {precision} | {size} |" in card
    assert (
        f"Trained on `colours`, {stripes.CHIPS} chips (sha256 `{manifest.provenance.dataset_sha256}`)" in card
    )
    planned = manifest.early_exit
    assert planned
    order = ", ".join(manifest.members[member].name for member in planned.order)
    assert f"in the order {order} until" in card
    assert f"{planned.mean_members:.2f} of 2 run for a chip and take {planned.cost_share:.0%} of" in card
    assert "early exit" not in render(manifest.model_copy(update={"early_exit": None}), in_sample)
    assert "show nothing" not in card
    assert f"of 3 of {stripes.CHIPS} chips, more" in render(manifest, in_sample, Blank(0.1, 3))
    assert "none is nodata" in render(manifest, in_sample, Blank(0.0, 0))
    assert "Licence of this bundle: CC0-1.0" in card
    assert "\n- Chips: drawn for the test.\n" in card


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (
            Vote(thresholds=((0.2,) * 4,) * 2, weights=((1,) * 4, (0, 1, 2, 1)), quorum=(1,) * 4),
            ["hold most of its votes", "a mean over members and not calibrated"],
        ),
        (
            Blend(coefficients=(((0.0,) * 4,) * 4,) * 2, intercepts=(0.0,) * 4, thresholds=(0.2,) * 4),
            ["a linear blend of all probabilities of 2 members", "the blend's scores"],
        ),
        (
            ExpectedF(
                beta=2,
                weights=((1,) * 4,) * 2,
                knots=(((0.5, 0.5),),) * 4,
                cooccurrence=Cooccurrence(exclusive=((0, 3),), alone=(1,)),
            ),
            [
                "highest expected F2 is set",
                "Of blue, red exactly one is set.",
                "No label of another group is set beside dark.",
                "Probabilities are calibrated",
            ],
        ),
    ],
    ids=lambda value: getattr(value, "rule", None),
)
def test_the_card_describes_the_rule(exported: tuple[Run, Bundle], rule: Rule, says: list[str]) -> None:
    run, bundle = exported
    manifest = bundle.manifest.model_copy(update={"decision": rule})
    card = render(manifest, read_scores(run)["in-sample"])
    for text in says:
        assert text in card
