"""Answers → tables for a terminal."""

from collections.abc import Iterable

from rich.table import Column, Table
from rich.text import Text

from .files import printable
from .schemas import Failure, LabelCard, Labels, Prediction, Shadow, Swap


def prediction_table(results: Iterable[Prediction | Failure]) -> Table:
    """Lay out what each file shows."""
    # The end of a path is what tells one file from another.
    table = Table(Column("file", overflow="fold"), "labels (mean probability)")
    for result in results:
        if "error" in result:
            cell = Text(f"{result['error']['title']}: {result['error']['detail']}", style="red")
        else:
            found = [score for score in result["scores"] if score["predicted"]]
            cell = Text(", ".join(f"{score['label']} {score['probability']:.2f}" for score in found))
            for warning in result.get("warnings", []):
                cell.append(f"\n{warning}", style="yellow")
        table.add_row(Text(printable(str(result["filename"]))), cell)
    return table


def label_table(answer: Labels) -> Table:
    """Lay out a model's labels."""
    model = answer["model"]
    title = f"{model['name']} {model['version']}, rule {answer['rule']}"
    table = Table("label", "group", "prevalence", "F2", "quorum", "thresholds", title=title)
    for label in answer["labels"]:
        f2 = "–" if label["f2"] is None else f"{label['f2']:.3f}"
        quorum = "–" if label["quorum"] is None else str(label["quorum"])
        prevalence = f"{label['prevalence']:.3f}"
        table.add_row(label["name"], label["group"], prevalence, f2, quorum, _thresholds(label))
    return table


def swap_table(found: Swap) -> Table:
    """Lay out which bundles are loaded, and which could be."""
    table = Table("bundle", "version", "")
    serving, other = found["serving"], found["other"]
    table.add_row(Text(serving["bundle"]), Text(serving["version"]), "answers")
    if other:
        role = "is tried unseen" if found["shadow"] else "answered before"
        table.add_row(Text(other["bundle"]), Text(other["version"]), role)
    loaded = {serving["bundle"], other["bundle"] if other else None}
    for name in found["bundles"]:
        if name not in loaded:
            table.add_row(Text(name), "", "")
    return table


def shadow_table(found: Shadow) -> Table:
    """Lay out how a bundle that is tried unseen differs."""
    title = (
        f"{found['candidate']} on {found['share']:.0%} of the chips: {found['different']} of "
        f"{found['chips']} label sets differ; {found['failed']} failed, {found['skipped']} skipped"
    )
    table = Table("label", "added", "removed", title=Text(title, style="table.title"), min_width=len(title))
    for label in found["labels"]:
        table.add_row(Text(label["label"]), str(label["added"]), str(label["removed"]))
    return table


def _thresholds(label: LabelCard) -> str:
    """List the thresholds that have a say, each with its weight unless that is 1."""
    weights = label["weights"] or [1] * len(label["thresholds"])
    pairs = zip(label["thresholds"], weights, strict=True)
    return " ".join(f"{t:.3f}" + (f"×{w}" if w > 1 else "") for t, w in pairs if w) or "–"
