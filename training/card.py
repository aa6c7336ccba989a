"""The model card: the manifest's facts for people, as Markdown."""

from service.bundle import Manifest, Scores
from training.scores import table


def render(manifest: Manifest, in_sample: Scores) -> str:
    """Return the card's text.

    Args:
        manifest: the bundle's manifest; its scores are the headline.
        in_sample: the scores with thresholds tuned on the chips they decide, for comparison.
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
        f"A label is set when at least {manifest.quorum} of {len(manifest.members)} members reach their own "
        f"threshold for it. Input: {manifest.input.height}×{manifest.input.width} px chips, bands "
        f"{', '.join(manifest.input.bands)}.",
        "## Quality",
        table(manifest.scores),
        "Cross-fitted: no network was trained on a chip it scores here, and no threshold was tuned on it. "
        "One network per architecture scores each chip, in PyTorch, the one of the fold that held it out; "
        "the graphs are checked against PyTorch below. "
        f"Thresholds tuned on the very chips they decide would show sample F2 {in_sample.sample_f2:.4f}.",
        "## Members",
        f"Each graph was compared with PyTorch on {checked} training chips before it was written.",
        "\n".join(
            [
                "| member | precision | size | largest probability difference | change of sample F2 |",
                "|---|---|---:|---:|---:|",
                *members,
            ]
        ),
        "## Data and terms",
        f"Trained on `{provenance.dataset}`, {provenance.chips} chips "
        f"(sha256 `{provenance.dataset_sha256}`). Licence of this bundle: {provenance.licence}.",
        "\n".join(f"- {source}" for source in provenance.sources),
        "## Limits",
        "Labels, ground resolution and region are those of the training chips; on others, tune and measure "
        "again. Probabilities are a mean over members and not calibrated.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
