"""How QGIS draws a layer: a colour per label set; of a raster, the label that varies most.

One style serves vector and raster files of a layer alike: QGIS takes `renderer-v2` for the one and
`pipe` for the other. It loads `map.qml` by itself when `map.geojson` or `map.tif` is opened.

Source: styles as QGIS 3.32 writes them (3.22 draws these). Colours: Paul Tol's "muted" and
"YlOrBr", which people with any colour vision tell apart.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa

from service.answers.layers.parts import OURS, STYLE, batches, schema_of, whole
from service.answers.layers.rows import Legend

_COLOURS = (
    *("#88ccee", "#cc6677", "#ddcc77", "#117733", "#332288"),
    *("#aa4499", "#44aa99", "#999933", "#882255"),
)
_OTHER, _NOTHING, _FAILED = "#bbbbbb", "#ffffff", "#000000"
_RAMP = ("#ffffe5", "#fee391", "#fb9a29", "#cc4c02", "#662506")  # for 0 to 1 in equal steps
_OPACITY = "0.6"  # the ground stays visible
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


class Rule(NamedTuple):
    """How some of the places are drawn."""

    condition: str  # as QGIS's filters are written
    text: str
    colour: str
    pattern: str = "solid"  # as QGIS names it


def write_style(parts: Sequence[Path], out: Path, style: str | None = None) -> None:
    """Write the style beside a layer's file, under its name with `.qml`.

    Args:
        parts: Parquet files with the schema of `rows.py`, at least one.
        out: the layer's file.
        style: None for one by label sets.
    """
    with whole(out.with_suffix(STYLE)) as partial:
        partial.write_text(style or qml(schema_of(parts), batches(parts)), encoding="utf-8")


def qml(schema: pa.Schema, found: Iterable[pa.RecordBatch]) -> str:
    """Return the style of a layer's rows."""
    legend = Legend.read(schema)
    columns = [column.probability for column in legend.columns()]
    sets: Counter[str] = Counter()
    spread_L = np.zeros((3, len(columns)))  # how many, their sum, the sum of squares
    for batch in found:
        sets.update(label_set for label_set in batch["labels"].to_pylist() if label_set is not None)
        for total, name in zip(spread_L.T, columns, strict=True):
            probs_N = batch[name].drop_null().to_numpy().astype(np.float64)
            total += len(probs_N), probs_N.sum(), (probs_N**2).sum()
    count_L, sum_L, squares_L = spread_L
    variance_L = squares_L - sum_L**2 / np.maximum(count_L, 1)
    band = int(variance_L.argmax()) if columns else 0
    return document(rules(sets), (band + 1, legend.labels[band]) if columns else None)


def document(drawn: Sequence[Rule], shown: tuple[int, str] | None = None) -> str:
    """Return a style that draws places by rules, and a raster's band with its label."""
    root = ElementTree.Element("qgis", version="3.32.3", styleCategories="Symbology")
    _add_rules(root, drawn)
    if shown:
        _add_ramp(root, *shown)
    ElementTree.indent(root)
    return _DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"


def rules(sets: Counter[str]) -> list[Rule]:
    """Return what is drawn how: the label sets by their number, the rarer ones alike."""
    ordered = sorted((label_set for label_set in sets if label_set), key=lambda one: (-sets[one], one))
    named = [
        Rule(f"\"labels\" = '{label_set.replace(chr(39), chr(39) * 2)}'", label_set, colour)
        for label_set, colour in zip(ordered, _COLOURS, strict=False)
    ]
    return [
        *named,
        Rule("\"labels\" = ''", "no label", _NOTHING, "no"),
        Rule('"error" IS NOT NULL', "failed", _FAILED, "b_diagonal"),
        Rule("ELSE", "other label sets", _OTHER),
    ]


def _add_rules(root: ElementTree.Element, drawn: Sequence[Rule]) -> None:
    renderer = ElementTree.SubElement(
        root, "renderer-v2", type="RuleRenderer", symbollevels="0", forceraster="0", enableorderby="0"
    )
    renderer.set("referencescale", "-1")
    listed = ElementTree.SubElement(renderer, "rules", key=f"{{{OURS}}}")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for number, rule in enumerate(drawn):
        name = str(number)
        ElementTree.SubElement(
            listed, "rule", key=f"{{chipvote-{name}}}", filter=rule.condition, label=rule.text, symbol=name
        )
        symbol = ElementTree.SubElement(
            symbols, "symbol", type="fill", name=name, alpha=_OPACITY, clip_to_extent="1", force_rhr="0"
        )
        fill = ElementTree.SubElement(
            symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0", "locked": "0"}
        )
        _add_options(
            fill,
            {
                "color": _rgba(rule.colour),
                "style": rule.pattern,
                "outline_color": _rgba(_FAILED),
                "outline_style": "solid",
                "outline_width": "0.1",
                "outline_width_unit": "MM",
            },
        )


def _add_ramp(root: ElementTree.Element, band: int, label: str) -> None:
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe,
        "rasterrenderer",
        type="singlebandpseudocolor",
        band=str(band),
        opacity=_OPACITY,
        alphaBand="-1",
        classificationMin="0",
        classificationMax="1",
        nodataColor="",
    )
    ElementTree.SubElement(renderer, "rasterTransparency")
    shader = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",
        clip="0",
        minimumValue="0",
        maximumValue="1",
        labelPrecision="2",
    )
    for step, colour in enumerate(_RAMP):
        value = f"{step / (len(_RAMP) - 1):.2f}"
        text = f"{label} {value}"
        ElementTree.SubElement(shader, "item", alpha="255", value=value, label=text, color=colour)


def _add_options(parent: ElementTree.Element, options: dict[str, str]) -> None:
    mapping = ElementTree.SubElement(parent, "Option", type="Map")
    for name, value in options.items():
        ElementTree.SubElement(mapping, "Option", name=name, type="QString", value=value)


def _rgba(colour: str) -> str:
    return ",".join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5)) + ",255"
