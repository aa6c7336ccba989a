"""The command that tells what changed between two layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.cli.console import app

if TYPE_CHECKING:
    from service.offline.changes.differences import Differences


@app.command("diff")
def tell_differences(
    before: Annotated[
        Path,
        typer.Argument(
            help="Layer of `chipvote map` (.parquet, .gpkg, .geojson), GeoPackage of the page, or table of "
            "`chipvote score`"
        ),
    ],
    after: Annotated[Path, typer.Argument(help="Another of the same ground, or of the same chips")],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write: .html to look at, .parquet, .gpkg or .geojson; several are fine",
            show_default="only a table is printed",
        ),
    ] = None,
) -> None:
    """Tell which labels appeared and disappeared between two layers, and what is disputed of it.

    A place before is compared with the one after that covers most of it, at least half: grids may
    be shifted. Tables are compared by name. Members that --all-members would have run may dispute
    more.
    """
    from service.answers.layers.parts import check_outputs
    from service.offline.changes.differences import compare
    from service.offline.changes.reading import read
    from service.offline.changes.writing import FORMATS, write

    check_outputs(out or [], FORMATS, (before, after))
    found = compare(read(before), read(after))
    _print(found)
    for file in out or []:
        write(found, file)


def _print(found: Differences) -> None:
    from rich.table import Table
    from rich.text import Text

    from service.offline.changes.page import label_rows

    console = Console()
    table = Table("label", *("before", "after", "appeared", "disputed", "disappeared", "disputed"))
    for row in label_rows(found):
        table.add_row(Text(row.label), *map(str, row[1:-1]))
    for remark in found.remarks():
        console.print(Text(remark))
    console.print(table)
