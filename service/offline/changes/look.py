"""How changes look, on the page and in QGIS: a text and a colour per kind, the page's style sheet.

Colours: of Paul Tol's "muted", which people with any colour vision tell apart.
"""

from typing import NamedTuple

from service.offline.changes.differences import Kind


class Look(NamedTuple):
    """How places of one kind are shown."""

    text: str
    colour: str


LOOKS = {
    Kind.APPEARED: Look("labels appeared", "#117733"),
    Kind.DISAPPEARED: Look("labels disappeared", "#cc6677"),
    Kind.BOTH: Look("some appeared, some disappeared", "#332288"),
    Kind.DISPUTED: Look("members dispute all that changed", "#ddcc77"),
    Kind.NONE: Look("nothing changed", "#d5ddd6"),
}

STYLE = """
:root { color-scheme: light dark;
  --page: light-dark(#fff, #101513); --raised: light-dark(#eef2ee, #222b27);
  --line: light-dark(#d5ddd6, #34403a); --ink: light-dark(#17201b, #e9f0eb);
  --soft: light-dark(#556159, #a3b3a9); --accent: light-dark(#0b6e4f, #5fd3a3); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1.25rem 4rem;
  background: var(--page); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .4rem 0 .8rem; } a { color: var(--accent); } .soft { color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0; }
dl div { background: var(--raised); border-radius: .6rem; padding: .7rem 1rem; }
dt { color: var(--soft); }
dd { margin: 0; font-size: 1.8rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: .25rem 0; }
th, td { padding: .25rem .6rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { vertical-align: bottom; } th[scope=row] { font-weight: 400; }
.text, th[scope=row] { text-align: left; }
svg { display: block; width: 100%; max-height: 85vh; background: var(--raised); border-radius: .6rem; }
svg path { stroke: var(--page); stroke-width: .5; vector-effect: non-scaling-stroke; }
svg path:target { stroke: var(--ink); stroke-width: 4; }
svg text { fill: var(--ink); font-size: 22px; } svg line { stroke: var(--ink); stroke-width: 4; }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1.25rem; list-style: none; margin: .6rem 0; padding: 0; }
.key span { display: inline-block; width: .9rem; height: .9rem; border-radius: .2rem; margin-right: .4rem; }
@media print {
  :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 11px; }
  .wide { overflow: visible; } tr, svg { break-inside: avoid; } h2 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
