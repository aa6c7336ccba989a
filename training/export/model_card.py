"""The model card: the manifest's facts for people, as Markdown."""

from service.contract.manifest import Manifest, Scores
from service.contract.rules import Blend, ExpectedF, Vote
from training.data.dataset import Blank
from training.evaluation.metrics import table

_PROBABILITIES = {
    "vote": "Probabilities are a mean over members and not calibrated.",
    "blend": "Probabilities are the blend's scores and not calibrated.",
    "expected-f": "Probabilities are calibrated on the training chips.",
}


def render(manifest: Manifest, in_sample: Scores, blank: Blank | None = None) -> str:
    """Return the card's text.

    Args:
        manifest: the bundle's manifest; its scores are the headline.
        in_sample: the scores with a rule tuned on the chips it decides, for comparison.
        blank: how much of the training chips shows nothing.
    """
    provenance = manifest.provenance
    members = [
        f"| {member.name} | {precision} | {graph.file.size_bytes / 1e6:.1f} MB "
        f"| {graph.check.max_probability_difference:.2g} | {graph.check.sample_f2_change:+.4f} |"
        for member in manifest.members
        for precision, graph in member.graphs.items()
    ]
    checked = next(iter(manifest.members[0].graphs.values())).check.chips
    parts = [
        f"# {manifest.name} {manifest.version}",
        manifest.description,
        f"{_rule(manifest)} Input: {manifest.input.height}×{manifest.input.width} px chips, bands "
        f"{', '.join(manifest.input.bands)}.",
        "## Quality",
        table(manifest.scores),
        "Cross-fitted: no network was trained on a chip it scores here, and the rule that decides it was "
        "not tuned on it. "
        "One network per architecture scores each chip, in PyTorch, the one of the fold that held it out; "
        "the graphs are checked against PyTorch below. "
        f"A rule tuned on the very chips it decides would show sample F2 {in_sample.sample_f2:.4f}.",
        "## Members",
        f"Each graph was compared with PyTorch on {checked} training chips before it was written.",
        "\n".join(
            [
                "| member | precision | size | largest probability difference | change of sample F2 |",
                "|---|---|---:|---:|---:|",
                *members,
            ]
        ),
        _early_exit(manifest),
        "## Data and terms",
        f"Trained on `{provenance.dataset}`, {provenance.chips} chips "
        f"(sha256 `{provenance.dataset_sha256}`). Licence of this bundle: {provenance.licence}.",
        blank.sentence(provenance.chips) if blank else "",
        "\n".join(f"- {source}" for source in provenance.sources),
        "## Limits",
        "Labels, ground resolution and region are those of the training chips; on others, tune and measure "
        f"again. {_PROBABILITIES[manifest.decision.rule]}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _early_exit(manifest: Manifest) -> str:
    """Say what stopping early saves; nothing where the rule cannot."""
    planned = manifest.early_exit
    if planned is None:
        return ""
    names = ", ".join(manifest.members[member].name for member in planned.order)
    return (
        f"With early exit, members are asked in the order {names} until no label can change: simulated on "
        f"{planned.chips} training chips, {planned.mean_members:.2f} of {len(planned.order)} run for a chip "
        f"and take {planned.cost_share:.0%} of the time of all."
    )


def _rule(manifest: Manifest) -> str:
    """Say in sentences how a label set comes about."""
    rule, members = manifest.decision, len(manifest.members)
    match rule:
        case Vote(weights=weights, quorum=quorum) if {weight for row in weights for weight in row} == {1}:
            text = f"A label is set when at least {quorum[0]} of {members} members reach their own threshold."
        case Vote():
            text = (
                f"A label is set when the members of {members} that reach their own threshold hold most of "
                "its votes; a member may have several votes on a label, or none."
            )
        case Blend():
            text = (
                f"A label is set when a linear blend of all probabilities of {members} members reaches its "
                "threshold."
            )
        case ExpectedF(beta=beta):
            text = (
                f"The label set with the highest expected F{beta:g} is set, by the calibrated mean of "
                f"{members} members' probabilities."
            )
    names = [label.name for label in manifest.labels]
    for group in rule.cooccurrence.exclusive:
        text += f" Of {', '.join(names[column] for column in group)} exactly one is set."
    if rule.cooccurrence.alone:
        alone = ", ".join(names[column] for column in rule.cooccurrence.alone)
        text += f" No label of another group is set beside {alone}."
    return text
