"""Label sets and probabilities against the truth → the manifest's `Scores`.

Precision, recall and average precision are scikit-learn's. A label without positives
has no average precision and stays out of the means over labels.

Shape suffixes: N chips, L labels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from service.contract.manifest import Fitting, Interval, LabelScore, Scores
from training.decision.fbeta import sample_fbeta


def measure(
    predicted_NL: npt.NDArray[np.bool_],
    probs_NL: npt.NDArray[np.floating],
    targets_NL: npt.NDArray[np.bool_],
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    fitting: Fitting,
) -> Scores:
    """Score label sets (F2, precision, recall) and probabilities (average precision).

    Args:
        predicted_NL: the label sets.
        probs_NL: the probability shown for each label.
        targets_NL: the truth.
        labels: the columns' names.
        groups: the columns' report groups.
        fitting: how the scored decision relates to these chips.

    Raises:
        ValueError: there is no chip, or none with a label.
    """
    if not targets_NL.any():
        raise ValueError(f"{len(targets_NL)} chips without any known label cannot be scored")
    precision_L, recall_L, f2_L, positives_L = precision_recall_fscore_support(
        targets_NL, predicted_NL, beta=2.0, average=None, zero_division=0.0
    )
    rows = tuple(
        LabelScore(
            label=label,
            positives=int(positives_L[column]),
            precision=float(precision_L[column]),
            recall=float(recall_L[column]),
            f2=float(f2_L[column]),
            average_precision=_average_precision(targets_NL[:, column], probs_NL[:, column]),
        )
        for column, label in enumerate(labels)
    )
    group_L = np.array(groups)
    seen_L = positives_L > 0
    return Scores(
        fitting=fitting,
        chips=len(targets_NL),
        sample_f2=float(sample_fbeta(predicted_NL, targets_NL).mean()),
        macro_f2=float(f2_L[seen_L].mean()),
        mean_average_precision=float(
            np.mean([row.average_precision for row in rows if row.average_precision is not None])
        ),
        group_f2={
            str(group): float(f2_L[seen_L & (group_L == group)].mean())
            for group in dict.fromkeys(group_L[seen_L])
        },
        labels=rows,
    )


def _average_precision(targets_N: npt.NDArray[np.bool_], probs_N: npt.NDArray[np.floating]) -> float | None:
    if not targets_N.any():
        return None
    return min(1.0, float(average_precision_score(targets_N, probs_N)))  # its sum may round to above 1


def table(scores: Scores) -> str:
    """Render scores as a Markdown table with a headline."""
    groups = ", ".join(
        f"{group} {value:.4f}{_bracketed(scores.group_f2_intervals.get(group))}"
        for group, value in scores.group_f2.items()
    )
    explained = " In brackets: 95 % bootstrap intervals over chips." if scores.sample_f2_interval else ""
    lines = [
        f"{scores.fitting} on {scores.chips} chips: "
        f"sample F2 **{scores.sample_f2:.4f}**{_bracketed(scores.sample_f2_interval)}, "
        f"macro F2 {scores.macro_f2:.4f}{_bracketed(scores.macro_f2_interval)}, "
        f"mAP {scores.mean_average_precision:.4f}{_bracketed(scores.mean_average_precision_interval)}; "
        f"mean F2 by group: {groups}.{explained}",
        "",
        "| label | chips | precision | recall | F2 | average precision |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in scores.labels:
        average = "–" if row.average_precision is None else f"{row.average_precision:.3f}"
        lines.append(
            f"| {row.label} | {row.positives} | {row.precision:.3f} | {row.recall:.3f} "
            f"| {row.f2:.3f}{_bracketed(row.f2_interval)} "
            f"| {average}{_bracketed(row.average_precision_interval)} |"
        )
    return "\n".join(lines)


def _bracketed(interval: Interval | None) -> str:
    return " ({:.3f} to {:.3f})".format(*interval) if interval else ""
