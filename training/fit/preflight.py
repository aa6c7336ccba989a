"""What would fail or mislead hours later, found out before anything long starts.

Shape suffixes: N chips, L labels, K folds.
"""

import difflib
import logging
import re
from collections.abc import Iterable

import numpy as np
import timm

from service.contract.chips.bands import RGB
from training.config.schema import CACHED, MemberConfig, RunConfig
from training.config.sensor import false_colours
from training.data.dataset import Dataset
from training.network.freezing import check_cut, freeze
from training.network.loss import loss_of
from training.network.model import example_chips, member_net
from training.run.folder import Run

log = logging.getLogger(__name__)


def check_options(config: RunConfig) -> None:
    """Check what needs no data: options that contradict each other, networks that there are not.

    Ranges of single fields are in `training/config/schema.py`, and checked with it.

    Raises:
        ValueError: lists everything that is wrong.
    """
    wrong = [text for broken, text in _run_rules(config) if broken]
    for member in config.members:
        wrong += [f"{member.name}: {text}" for broken, text in _member_rules(config, member) if broken]
    if wrong:
        raise ValueError("\n".join(wrong))


def check_name(name: str, version: str) -> None:
    """Check what the bundle will be called, which otherwise fails at the very end.

    Raises:
        ValueError: the manifest would not take it.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise ValueError(
            f"bundle name {name!r}: use small letters, digits, . _ and -; "
            "--name gives another than the recipe's"
        )
    if not version:
        raise ValueError("--version is empty; give one, such as 1.0.0")


def check_data(run: Run, dataset: Dataset) -> None:
    """Check the members against the labels, build each once, and warn of labels that a fold lacks.

    Raises:
        ValueError: a member cannot be built or cut, or names labels that there are not.
    """
    for member in run.config.members:
        loss_of(member, dataset.labels)
        _check_network(run, member, dataset)
    for line in lacking(dataset, run.config.folds):
        log.warning("%s", line)


def lacking(dataset: Dataset, folds: int) -> list[str]:
    """Describe the labels that some fold cannot learn, or cannot judge."""
    held_KL = np.array([dataset.targets_NL[dataset.folds_N == fold].sum(axis=0) for fold in range(folds)])
    total_L = held_KL.sum(axis=0)
    lines = []
    for index, label in enumerate(dataset.labels):
        unlearned = np.flatnonzero(held_KL[:, index] == total_L[index])
        unjudged = np.flatnonzero(held_KL[:, index] == 0)
        if not total_L[index] or not len(unjudged):  # that no chip at all has it is said on reading
            continue
        parts = [f"fold {_listed(unjudged)} cannot judge it"]
        if len(unlearned):
            parts.append(f"fold {_listed(unlearned)} cannot learn it")
        lines.append(f"only {total_L[index]} chips have {label}: {' and '.join(parts)}; add chips of it")
    return lines


def _run_rules(config: RunConfig) -> list[tuple[bool, str]]:
    turned = max(config.predict_views, config.graph_views) > 1
    decision = config.decision
    vote, expected_f = decision.rule == "vote", decision.rule == "expected-f"
    voters = (decision.weights, decision.members) != ("equal", "all")
    tuned = (decision.objective, decision.thresholds, decision.bags) != ("samples", "member", 0)
    pictures = config.dtype == "uint8" and set(config.bands) <= set(RGB)
    return [
        (
            config.grey and not pictures,
            f"--grey takes grey pictures for red, green and blue; these chips are {config.dtype} of "
            f"{', '.join(config.bands)}: leave it out",
        ),
        (
            turned and config.height_px != config.width_px,
            f"predict_views and graph_views turn chips, which {config.height_px}×{config.width_px} px "
            "do not allow; use 1",
        ),
        (
            voters and not vote,
            f"weights and members choose who votes; rule={decision.rule!r} hears all: use 'vote', or leave "
            "them 'equal' and 'all'",
        ),
        (
            tuned and expected_f,
            "objective, thresholds and bags tune thresholds, of which rule='expected-f' has none; leave them",
        ),
    ]


def _member_rules(config: RunConfig, member: MemberConfig) -> list[tuple[bool, str]]:
    square = config.height_px == config.width_px
    cached = member.freeze in CACHED
    return [
        (
            ":" not in member.architecture and not timm.is_model(member.architecture),
            f"architecture={member.architecture!r}: timm has none such{_similar(member.architecture)}",
        ),
        (
            member.warmup_epochs >= member.epochs,
            f"warmup_epochs={member.warmup_epochs} of {member.epochs} epochs; use fewer than all",
        ),
        (
            member.freeze == "staged" and member.staged_epochs >= member.epochs,
            f"staged_epochs={member.staged_epochs} of {member.epochs} epochs; use fewer than all",
        ),
        (
            member.frozen_to is not None and member.freeze not in ("stem", "trunk"),
            f"frozen_to does nothing with freeze={member.freeze!r}; use 'stem' or 'trunk', or leave it away",
        ),
        (
            cached and member.augmentation == "lossy",
            f"freeze={member.freeze!r} works on cached views; use augmentation='views' or freeze='stem'",
        ),
        (
            member.fusion != "early" and member.bands[:3] != RGB,
            f"bands begin with {', '.join(member.bands[:3])}; {member.fusion} fusion wants "
            f"{', '.join(RGB)} first",
        ),
        (
            member.fusion == "false-colour" and not false_colours(member.bands),
            f"no false colours can be made of {', '.join(member.bands)}: none is infrared; use fusion='late'",
        ),
        (
            not square and (cached or member.augmentation == "views"),
            f"views turn chips, which {config.height_px}×{config.width_px} px do not allow; use "
            "augmentation='lossy' or 'none' without cached features",
        ),
    ]


def _check_network(run: Run, member: MemberConfig, dataset: Dataset) -> None:
    """Build a member, from a local file's weights if there is one, and try its cut on two chips."""
    local = run.weights_path(member.architecture) is not None
    net = member_net(run, member, dataset, pretrained=local)
    if member.freeze == "trunk":
        check_cut(net, member, example_chips(dataset))
    else:
        freeze(net, member, 0)


def _similar(architecture: str) -> str:
    found = difflib.get_close_matches(architecture, timm.list_models(), n=3)
    return f"; did you mean {', '.join(found)}?" if found else ""


def _listed(folds: Iterable[int]) -> str:
    return " and ".join(str(fold + 1) for fold in folds)
