"""Differences → one page to look at and to print; it needs no other file, no address, no script."""

from collections import Counter
from html import escape
from typing import NamedTuple

import numpy as np
import shapely

from service.offline.changes.differences import FAR_APART, Differences, Kind
from service.offline.changes.drawing import drawing
from service.offline.changes.look import LOOKS, STYLE

MOST_LISTED = 500  # places
_RULE = (
    "A change is disputed where some, but not all, of the members voted for the label before or after it; "
    f"of a rule without votes, where the probabilities of two members lie {FAR_APART} or more apart."
)


class LabelRow(NamedTuple):
    """What happened to one label."""

    label: str
    before: int
    after: int
    appeared: int
    appeared_disputed: int
    disappeared: int
    disappeared_disputed: int
    mean_change: float  # of its probability


def label_rows(found: Differences) -> list[LabelRow]:
    """Count, for each label."""
    counted = [found.before_NL, found.after_NL]
    for changed_NL in (found.appeared_NL, found.disappeared_NL):
        counted += [changed_NL, changed_NL & found.disputed_NL]
    counts = [found_NL.sum(axis=0).tolist() for found_NL in counted]
    means = (found.probs_after_NL - found.probs_before_NL).mean(axis=0).tolist()
    return [LabelRow(*row) for row in zip(found.labels, *counts, means, strict=True)]


def page(found: Differences) -> str:
    """Return the page's HTML."""
    kinds = found.kinds()
    listed = _listed(found, kinds)
    title = escape(f"What changed from {found.before.name} to {found.after.name}")
    bundles = escape(" and ".join(dict.fromkeys([*found.before.bundles, *found.after.bundles])))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="soft">Labels by {bundles}.</p>
</header>
<main>
{"".join(f"<p>{escape(remark)}</p>" for remark in found.remarks())}
{_tiles(Counter(kinds))}
<h2>Labels</h2>
<p>{_RULE}</p>
{_label_table(label_rows(found))}
{_map(found, kinds, listed)}
{_list(found, listed, sum(kind != Kind.NONE for kind in kinds))}
</main>
</body>
</html>
"""


def _tiles(counts: Counter[Kind]) -> str:
    sure = sum(counts[kind] for kind in (Kind.APPEARED, Kind.DISAPPEARED, Kind.BOTH))
    tiles = {
        "compared": counts.total(),
        "changed": sure,
        "changed, but disputed": counts[Kind.DISPUTED],
        "unchanged": counts[Kind.NONE],
    }
    return (
        "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{n:,}</dd></div>" for name, n in tiles.items()) + "</dl>"
    )


def _label_table(rows: list[LabelRow]) -> str:
    heads = (
        "before",
        "after",
        "appeared",
        "disputed",
        "disappeared",
        "disputed",
        "mean change of probability",
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row.label)}</th>'
        + "".join(f"<td>{number:,}</td>" for number in row[1:-1])
        + f"<td>{round(row.mean_change, 3) + 0.0:+.3f}</td></tr>\n"
        for row in rows
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        '<div class="wide"><table><caption>How many of the compared places or chips have each label; '
        "“disputed” counts those among the column before it.</caption>"
        f'<thead><tr><th scope="col" class="text">label</th>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _listed(found: Differences, kinds: list[Kind]) -> list[int]:
    """Return the changed rows, those that nobody disputes first, by the change of a probability."""
    changed_NL = found.before_NL ^ found.after_NL
    steps_N = (np.abs(found.probs_after_NL - found.probs_before_NL) * changed_NL).max(axis=1)
    rows = [row for row, kind in enumerate(kinds) if kind != Kind.NONE]
    return sorted(rows, key=lambda row: (kinds[row] == Kind.DISPUTED, -steps_N[row]))[:MOST_LISTED]


def _map(found: Differences, kinds: list[Kind], listed: list[int]) -> str:
    if not found.before.placed:
        return ""
    texts = {row: ", ".join(_changes(found, row, 1) + _changes(found, row, -1)) for row in listed}
    key = "".join(
        f'<li><span style="background:{look.colour}"></span>{look.text}</li>' for look in LOOKS.values()
    )
    shapes = found.before.geometries[found.pairs.before]
    drawn = drawing(
        shapes, kinds, texts, "Map of the compared places by what changed; the list below says it"
    )
    return f'<h2>Map</h2>\n<ul class="key">{key}</ul>\n{drawn}'


def _list(found: Differences, listed: list[int], changed: int) -> str:
    if not listed:
        return "<h2>Changes</h2>\n<p>No label appeared or disappeared.</p>"
    heads = "".join(
        f'<th scope="col" class="text">{name}</th>' for name in ("where", "appeared", "disappeared")
    )
    rest = f" These are {len(listed):,} of {changed:,}; a layer holds all." if changed > len(listed) else ""
    rows = "".join(
        f'<tr><th scope="row">{_place(found, row)}</th><td class="text">{_cell(_changes(found, row, 1))}</td>'
        f'<td class="text">{_cell(_changes(found, row, -1))}</td></tr>\n'
        for row in listed
    )
    return (
        f"<h2>Changes</h2>\n<p>With the probability before and after; what nobody disputes first.{rest}</p>\n"
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(changes: list[str]) -> str:
    return "<br>".join(map(escape, changes))


def _changes(found: Differences, row: int, sign: int) -> list[str]:
    changed_L = (found.appeared_NL if sign > 0 else found.disappeared_NL)[row]
    return [
        f"{'+' if sign > 0 else '−'}{found.labels[label]} {found.probs_before_NL[row, label]:.2f} → "
        f"{found.probs_after_NL[row, label]:.2f}{', disputed' if found.disputed_NL[row, label] else ''}"
        for label in np.flatnonzero(changed_L)
    ]


def _place(found: Differences, row: int) -> str:
    name = escape(found.before.keys[found.pairs.before[row]].rpartition("/")[2])
    shape = found.before.geometries[found.pairs.before[row]]
    if shape is None:
        return name
    centre = shapely.centroid(shape)
    return f'<a href="#place-{row}">{centre.y:.5f}, {centre.x:.5f}</a> {name}'
