"""What was tried in 2017 and what lifted the winners, each as a change to any recipe.

`chipvote-train run --recipe planet-single --with lossy --with softmax …`; several apply in
order. The first line of a function says what it is.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from service.contract.sensors import SENSORS
from training.config.planet import PLANET_GROUPS
from training.config.schema import DecisionConfig, MemberConfig, RunConfig

Variant = Callable[[RunConfig], RunConfig]


def softmax(config: RunConfig) -> RunConfig:
    """Planet: one softmax over the four atmospheric labels, sigmoids for the others."""
    atmospheric = PLANET_GROUPS["atmospheric"]
    members = [
        replace(
            member, exclusive=atmospheric if set(atmospheric) <= set(member.labels or atmospheric) else ()
        )
        for member in config.members
    ]
    return replace(config, members=tuple(members))


def rare(config: RunConfig) -> RunConfig:
    """Planet: beside every network a second one for the rare labels alone, regularised harder."""
    return _beside(config, "rare", labels=PLANET_GROUPS["rare"], dropout=0.5, weight_decay=1e-3)


def land(config: RunConfig) -> RunConfig:
    """Planet: beside every network a second one for the labels of the land, not of the air."""
    return _beside(config, "land", labels=PLANET_GROUPS["common"] + PLANET_GROUPS["rare"])


def oversample(config: RunConfig) -> RunConfig:
    """Show chips with rare labels more often, by repeat factor sampling."""
    return _members(config, oversample=0.5)


def lossy(config: RunConfig) -> RunConfig:
    """Turn by any angle, shift and zoom, edges reflected, in place of the eight exact views."""
    return _members(config, augmentation="lossy")


def soft_f2(config: RunConfig) -> RunConfig:
    """Train on a differentiable F2 in place of cross-entropy."""
    return _members(config, loss="soft-f2")


def asymmetric(config: RunConfig) -> RunConfig:
    """Train on the asymmetric loss, lenient on easy negatives; thresholds then start at 0.5."""
    # Its probabilities lie high: 0.2, right for calibrated ones, would cost 0.15 of F2.
    return _decision(_members(config, loss="asymmetric"), prior=0.5)


def smooth(config: RunConfig) -> RunConfig:
    """Smooth the labels by 0.05."""
    return _members(config, label_smoothing=0.05)


def average(config: RunConfig) -> RunConfig:
    """Keep the exponential moving average of the weights."""
    return _members(config, ema_decay=0.995)


def dehaze(config: RunConfig) -> RunConfig:
    """Clear haze by the dark channel, inside the graph."""
    return _members(config, dehaze=True)


def views(config: RunConfig) -> RunConfig:
    """Predict by the mean over a chip's eight views, in training and in the exported graphs."""
    return replace(config, predict_views=8, graph_views=8)


def infrared(config: RunConfig) -> RunConfig:
    """Train on raw four-band TIFF chips, the infrared as a fourth plane."""
    contest = SENSORS["planet-contest"]
    config = replace(config, sensor="planet-contest", bands=contest.bands, dtype=contest.dtype)
    return _members(config, bands=("red", "green", "blue", "nir"))


def indices(config: RunConfig) -> RunConfig:
    """Four bands, and vegetation and water index (NDVI, NDWI) as planes computed in the graph."""
    return _members(infrared(config), indices=("ndvi", "ndwi"))


def late_fusion(config: RunConfig) -> RunConfig:
    """Four bands and indices, with a second backbone for all that is not colour."""
    return _members(indices(config), fusion="late")


def blend(config: RunConfig) -> RunConfig:
    """Blend all members' probabilities of all labels by ridge regression in place of the vote."""
    return _decision(config, rule="blend")


def expected_f(config: RunConfig) -> RunConfig:
    """Give each chip the label set of highest expected F2 under calibrated probabilities."""
    return _decision(config, rule="expected-f")


def weighted(config: RunConfig) -> RunConfig:
    """Let better members have two or three votes."""
    return _decision(config, weights="tuned")


def greedy(config: RunConfig) -> RunConfig:
    """Keep the members that a greedy selection takes, as often as it takes them."""
    return _decision(config, members="greedy")


def cooccurrence(config: RunConfig) -> RunConfig:
    """Apply what labels never break: groups of which exactly one holds, labels that stand alone."""
    return _decision(config, cooccurrence=True)


def macro(config: RunConfig) -> RunConfig:
    """Tune for the mean F2 over labels, so that a rare label counts as much as a common one."""
    return _decision(config, objective="macro")


def single(config: RunConfig) -> RunConfig:
    """Keep the first architecture only."""
    return replace(config, members=config.members[:1])


VARIANTS: dict[str, Variant] = {
    variant.__name__.replace("_", "-"): variant
    for variant in (
        softmax, rare, land, oversample, lossy, soft_f2, asymmetric, smooth, average, dehaze, views,
        infrared, indices, late_fusion, blend, expected_f, weighted, greedy, cooccurrence, macro, single,
    )
}  # fmt: skip


def _members(config: RunConfig, **changes: Any) -> RunConfig:  # noqa: ANN401 — fields of any type
    return replace(config, members=tuple(replace(member, **changes) for member in config.members))


def _decision(config: RunConfig, **changes: Any) -> RunConfig:  # noqa: ANN401
    decision: DecisionConfig = replace(config.decision, **changes)
    return replace(config, decision=decision)


def _beside(config: RunConfig, suffix: str, **changes: Any) -> RunConfig:  # noqa: ANN401
    added: list[MemberConfig] = [
        replace(member, name=f"{member.name}-{suffix}", exclusive=(), **changes)
        for member in config.members
        if not member.labels
    ]
    return replace(config, members=(*config.members, *added))
