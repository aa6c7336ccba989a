"""The command that labels whole scenes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import BundleOption, app

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from service.offline.maps.plan import Wishes

SHOWN = 5  # remarks
SUFFIXES = (".tif", ".tiff")  # of what is taken from folders
INTERRUPTED = 130  # exit status, as of shells


@app.command("map")
def label_scenes(
    scenes: Annotated[
        list[str], typer.Argument(help="GeoTIFFs, folders to search for them, or URLs (s3, gs, az, https)")
    ],
    out: Annotated[
        list[Path],
        typer.Option(
            "--out", "-o", help="File to write: .parquet, .gpkg, .geojson or .tif; several are fine"
        ),
    ],
    bundle: BundleOption = None,
    stride: Annotated[
        float, typer.Option(min=0.05, max=1, help="From window to window, as a share of a window")
    ] = 1.0,
    resolution: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1e6,
            help="Metres of the ground that a pixel of the bundle's chips shows; scenes are resampled to it",
            show_default="as the bundle says, else the scene's",
        ),
    ] = None,
    area: Annotated[
        Path | None, typer.Option(help="GeoJSON in EPSG:4326: only windows that touch it")
    ] = None,
    bbox: Annotated[str | None, typer.Option(help="WEST,SOUTH,EAST,NORTH in degrees: so too")] = None,
    nodata: Annotated[
        float | None, typer.Option(help="Value of pixels that show nothing, in place of what scenes say")
    ] = None,
    max_nodata: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out windows of which a larger share shows nothing")
    ] = 0.5,
    skip_labels: Annotated[
        str, typer.Option(help="Leave out windows with no other labels than these, as cloudy,haze")
    ] = "",
    file_bands: Annotated[
        str, typer.Option(help="Bands of scenes that do not name theirs, in order, as red,green,blue,nir")
    ] = "",
    all_members: Annotated[
        bool, typer.Option("--all-members", help="Run all members on every window, as predict does")
    ] = False,
) -> None:
    """Label whole scenes, window by window, as a layer for maps.

    A command that was stopped goes on where it was when it is repeated. Exits with 1 if any window
    could not be used.
    """
    from service.offline.maps.plan import Wishes

    wishes = Wishes(
        stride=stride,
        resolution_m=resolution,
        area=_area(area, bbox),
        nodata=nodata,
        max_nodata=max_nodata,
        file_bands=_words(file_bands),
        left_out=_words(skip_labels),
        all_members=all_members,
    )
    raise typer.Exit(_map(_addresses(scenes, out), out, bundle, wishes))


def _map(addresses: Sequence[str], outs: Sequence[Path], bundle: Path | None, wishes: Wishes) -> int:
    from service.client.progress import Pace
    from service.contract.bundle import load
    from service.offline.maps.making import Making
    from service.scenes.errors import SceneError
    from service.settings import read_settings

    settings = read_settings(bundle=bundle)
    making = Making(addresses, outs, load(settings.bundle), settings, wishes)
    for remark in list(dict.fromkeys(remark for grid in making.grids for remark in grid.remarks))[:SHOWN]:
        print(f"chipvote: {remark}", file=sys.stderr)
    try:
        counts_by_step = making.progress()
        with Pace(making.windows, "windows", next(counts_by_step)) as pace:
            for count in counts_by_step:
                pace.reached(count)
    except KeyboardInterrupt:
        print("chipvote: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except SceneError as error:
        print(f"chipvote: {error}; the same command goes on when that is mended", file=sys.stderr)
        return 1
    assert making.counts
    counts = " windows, {:,} labelled, {:,} left out, {:,} failed".format(*making.counts[1:])
    print(f"chipvote: {making.counts.windows:,}{counts}: {', '.join(map(str, outs))}", file=sys.stderr)
    return 1 if making.counts.failed else 0


def _addresses(scenes: Sequence[str], outs: Sequence[Path]) -> list[str]:
    """Replace each folder by the GeoTIFFs inside it, sorted; an earlier map of them is none."""
    from service.client.files import find_images
    from service.scenes.stores import is_stored

    found: list[str] = []
    known = {out.absolute() for out in outs}
    for scene in scenes:
        if os.path.isdir(scene):
            files = [file for file in find_images([Path(scene)]) if file.suffix.lower() in SUFFIXES]
            found += [str(file) for file in files if file.absolute() not in known]
        else:
            found.append(scene)
    if not found:
        raise typer.BadParameter("there is no GeoTIFF in these folders", param_hint="SCENES")
    once: dict[str, str] = {}  # a file that is given alone and in a folder, too
    for scene in found:
        once.setdefault(scene if is_stored(scene) else os.path.realpath(scene), scene)
    return list(once.values())


def _area(file: Path | None, bbox: str | None) -> BaseGeometry | None:
    from service.scenes.area import box, read_area
    from service.scenes.errors import SceneError

    if file and bbox:
        raise typer.BadParameter("give --area or --bbox", param_hint="--area")
    try:
        if bbox:
            west, south, east, north = map(float, bbox.split(","))
            return box(west, south, east, north)
        return read_area(file) if file else None
    except (ValueError, SceneError) as error:
        raise typer.BadParameter(str(error), param_hint="--bbox" if bbox else "--area") from error


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
