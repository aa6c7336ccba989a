"""What would fail or mislead hours later, found out before anything long starts.

Shape suffixes: N chips, L labels, K folds.
"""

import difflib
import logging
import math
import re
from collections.abc import Iterable

import numpy as np
import timm

from training.config import CACHED, MemberConfig, RunConfig
from training.dataset import Dataset
from training.freezing import check_cut, hold_still
from training.loss import loss_of
from training.model import example_chips, member_net
from training.preprocessing import COLOURS
from training.workspace import Run

log = logging.getLogger(__name__)

SMALLEST_PX = 32  # a backbone's last map would be smaller than a pixel


def check_options(config: RunConfig) -> None:
    """Check what needs no data: values out of range, options that contradict each other.

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
    shrinkage = decision.shrinkage
    vote, expected_f = decision.rule == "vote", decision.rule == "expected-f"
    voters = (decision.weights, decision.members) != ("equal", "all")
    tuned = (decision.objective, decision.thresholds, decision.bags) != ("samples", "member", 0)
    return [
        *((value < 1, f"{name}={value}; use at least 1") for name, value in _counts(config)),
        (not config.precisions, "the run has no precisions; name float32, float16 or int8"),
        (
            len(set(config.precisions)) < len(config.precisions),
            f"precisions={config.precisions}: name each once",
        ),
        (not 0 <= config.seed < 2**32, f"seed={config.seed}; choose 0 to 2**32 - 1"),
        (not 0 < decision.beta < math.inf, f"decision.beta={decision.beta}; use a positive one"),
        (not 0 < decision.prior < 1, f"decision.prior={decision.prior}; choose between 0 and 1"),
        (
            isinstance(shrinkage, float) and not 0 <= shrinkage < math.inf,
            f"decision.shrinkage={shrinkage}; use 0 or more, 'usual' or None",
        ),
        (decision.bags < 0, f"decision.bags={decision.bags}; use 0 or more"),
        (config.folds < 2, f"folds={config.folds}: every chip must be held out once; use at least 2"),
        (not config.members, "the run has no members; add one"),
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


def _counts(config: RunConfig) -> list[tuple[str, int]]:
    names = ("height_px", "width_px", "calibration_chips", "check_chips", "max_steps")
    return [(name, value) for name in names if (value := getattr(config, name)) is not None]


def _member_rules(config: RunConfig, member: MemberConfig) -> list[tuple[bool, str]]:
    square = config.height_px == config.width_px
    cached = member.freeze in CACHED
    ema = member.ema_decay
    clip = member.clip_norm
    return [
        (
            not re.fullmatch(r"[\w.-]*\w", member.name),
            f"name={member.name!r} names files; use letters, digits, . _ and -",
        ),
        (
            ":" not in member.architecture and not timm.is_model(member.architecture),
            f"architecture={member.architecture!r}: timm has none such{_similar(member.architecture)}",
        ),
        (member.size_px < SMALLEST_PX, f"size_px={member.size_px}; use at least {SMALLEST_PX}"),
        (not member.bands, "bands are empty; name at least one"),
        (len(set(member.bands)) < len(member.bands), f"bands={member.bands}: name each once"),
        (member.epochs < 1, f"epochs={member.epochs}; train at least 1"),
        (member.batch_size < 1, f"batch_size={member.batch_size}; use at least 1"),
        (
            not 0 < member.learning_rate < math.inf,
            f"learning_rate={member.learning_rate}; use a positive one",
        ),
        (not 0 <= member.backbone_rate < math.inf, f"backbone_rate={member.backbone_rate}; use 0 or more"),
        (not 0 <= member.weight_decay < math.inf, f"weight_decay={member.weight_decay}; use 0 or more"),
        (not 0 <= member.dropout < 1, f"dropout={member.dropout}; choose 0 to less than 1"),
        (not 0 <= member.label_smoothing < 1, f"label_smoothing={member.label_smoothing}; choose 0 to < 1"),
        (not 0 <= member.oversample <= 1, f"oversample={member.oversample}; choose 0 to 1"),
        (ema is not None and not 0 < ema < 1, f"ema_decay={ema}; choose between 0 and 1, or None"),
        (clip is not None and not clip > 0, f"clip_norm={clip}; choose a positive one, or None"),
        (
            not 0 <= member.warmup_epochs < max(member.epochs, 1),
            f"warmup_epochs={member.warmup_epochs} of {member.epochs} epochs; use 0 or more, fewer than all",
        ),
        (
            member.freeze == "staged" and not 1 <= member.staged_epochs < member.epochs,
            f"staged_epochs={member.staged_epochs} of {member.epochs} epochs; choose at least 1 and fewer",
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
            member.fusion == "late" and member.bands[:3] != COLOURS,
            f"bands begin with {', '.join(member.bands[:3])}; late fusion wants {', '.join(COLOURS)} first",
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
        hold_still(net, member, 0)


def _similar(architecture: str) -> str:
    found = difflib.get_close_matches(architecture, timm.list_models(), n=3)
    return f"; did you mean {', '.join(found)}?" if found else ""


def _listed(folds: Iterable[int]) -> str:
    return " and ".join(str(fold + 1) for fold in folds)
