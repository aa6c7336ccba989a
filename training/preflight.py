"""What would fail or mislead hours later, found out before anything long starts.

Shape suffixes: N chips, L labels, K folds.
"""

import logging
from collections.abc import Iterable

import numpy as np
import torch

from training.config import MemberConfig, RunConfig
from training.dataset import Dataset
from training.freezing import CACHED, check_cut, hold_still
from training.loss import loss_of
from training.model import member_net
from training.preprocessing import COLOURS
from training.workspace import Run

log = logging.getLogger(__name__)


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
    decision, checked = config.decision, min(config.calibration_chips, config.check_chips)
    vote, expected_f = decision.rule == "vote", decision.rule == "expected-f"
    voters = (decision.weights, decision.members) != ("equal", "all")
    tuned = (decision.objective, decision.thresholds, decision.bags) != ("samples", "member", 0)
    return [
        (config.folds < 2, f"folds={config.folds}: every chip must be held out once; use at least 2"),
        (not config.members, "the run has no members; add one"),
        (
            turned and config.height_px != config.width_px,
            f"predict_views and graph_views turn chips, which {config.height_px}×{config.width_px} px "
            "do not allow; use 1",
        ),
        (checked < 1, f"calibration_chips or check_chips is {checked}; graphs are tried on at least 1"),
        (decision.beta <= 0, f"beta={decision.beta}; use a positive one"),
        (not 0 < decision.prior < 1, f"prior={decision.prior}; choose between 0 and 1"),
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
    ema = member.ema_decay
    clip = member.clip_norm
    return [
        (member.epochs < 1, f"epochs={member.epochs}; train at least 1"),
        (member.batch_size < 1, f"batch_size={member.batch_size}; use at least 1"),
        (member.learning_rate <= 0, f"learning_rate={member.learning_rate}; use a positive one"),
        (not 0 <= member.dropout < 1, f"dropout={member.dropout}; choose 0 to less than 1"),
        (not 0 <= member.label_smoothing < 1, f"label_smoothing={member.label_smoothing}; choose 0 to < 1"),
        (not 0 <= member.oversample <= 1, f"oversample={member.oversample}; choose 0 to 1"),
        (ema is not None and not 0 < ema < 1, f"ema_decay={ema}; choose between 0 and 1, or None"),
        (clip is not None and clip <= 0, f"clip_norm={clip}; choose a positive one, or None"),
        (
            member.warmup_epochs >= member.epochs,
            f"warmup_epochs={member.warmup_epochs} of {member.epochs} epochs; leave some after the warm-up",
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
            f"freeze={member.freeze!r} works on the eight cached views; use augmentation='views' or "
            "freeze='stem'",
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
        check_cut(net, member, torch.from_numpy(dataset.chips_NHWC[:2].copy()))
    else:
        hold_still(net, member, 0)


def _listed(folds: Iterable[int]) -> str:
    return " and ".join(str(fold + 1) for fold in folds)
