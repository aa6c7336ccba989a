"""What the commands of `chipvote-train` take, each option with its help. Knows no stage."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from service.contract.sensors import SENSORS
from service.contract.version import __version__
from training.config.recipes import RECIPES
from training.config.variants import VARIANTS

Folder = Annotated[Path, typer.Argument(help="The run's folder, made by `run` or `prepare`.")]
Name = Annotated[str | None, typer.Option(help="Name of the bundle; the recipe's name by default.")]
Version = Annotated[str, typer.Option(help="Version of the bundle.")]
Recipe = Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}, or your own as file.py:function.")]
Variants = Annotated[
    list[str] | None,
    typer.Option("--with", help=f"A change to the recipe; repeat for several: {', '.join(VARIANTS)}."),
]
Data = Annotated[Path, typer.Option(help="Folder with a table of tags and the chips.")]
Out = Annotated[Path, typer.Option(help="The run's folder; a run that is there is resumed.")]
Tags = Annotated[
    Path | None,
    typer.Option(
        help="The table of tags, if it is not found by itself: CSV, JSON, JSON Lines, Parquet, or the folder "
        "of JSON files beside chips or of a folder for each class."
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(
        help="The character between the labels of a cell, such as ';'. With it labels may have several "
        "words; ' ' also reads labels in double quotes."
    ),
]
Chips = Annotated[Path | None, typer.Option(help="The chips' folder, if it has an unusual name.")]
Weights = Annotated[
    Path | None,
    typer.Option(help="Folder of <architecture>.safetensors ImageNet weights; downloaded by default."),
]
SkipBad = Annotated[bool, typer.Option(help="Leave out rows without a usable chip.")]
Exclude = Annotated[Path | None, typer.Option(help="A CSV of rows to leave out (image_name,reason).")]
Tif = Annotated[
    Path | None, typer.Option(help="Folder of TIFFs to read instead where --audit says `same ground`.")
]
SensorName = Annotated[
    str | None,
    typer.Option("--sensor", help=f"Whose chips, with all their bands: {', '.join(SENSORS)}."),
]
FileBands = Annotated[
    str | None,
    typer.Option(
        help="The bands in the order in which the files hold them, with commas between, where files do not "
        "name theirs and the order is not the sensor's."
    ),
]
Audit = Annotated[Path | None, typer.Option(help="The audit.csv of --tif.")]
BlockKm = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="GeoTIFFs of one block of this many kilometres go into the same fold; 0: only those that "
        "overlap. 1 by default, where that leaves enough groups.",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        help="Column of the table of tags instead: chips with the same value go into the same fold."
    ),
]
Grey = Annotated[
    bool,
    typer.Option(
        "--grey", help="Take grey pictures too, as red, green and blue alike; else a grey chip is refused."
    ),
]

Compared = Annotated[
    str, typer.Argument(help="A run's folder, or a recipe with variants: planet-single+lossy+views.")
]
FinishedBundle = Annotated[Path, typer.Argument(help="A bundle, for example models/uc-merced.")]
GraphPrecision = Annotated[str | None, typer.Option(help="int8, float16 or float32.")]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="ray[://HOST:PORT]",
        help="Fit members in parallel on a Ray cluster, one GPU each if there are any. The run's folder, the "
        "chips and the weights must be on a file system that all its machines share, at the same paths. "
        "By default, one after another here.",
    ),
]


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"chipvote-train {__version__}")
        raise typer.Exit


ShowVersion = Annotated[
    bool, typer.Option("--version", help="Show the version.", callback=_tell_version, is_eager=True)
]

Command = TypeVar("Command", bound=Callable[..., None])


def beside(other: Callable[..., None]) -> Callable[[Command], Command]:
    """Have a command take all that another takes, and then its own options.

    It gets the other's by name, as its `**`.
    """

    def widened(command: Command) -> Command:
        first, own = (inspect.signature(each).parameters.values() for each in (other, command))
        whole = [*first, *(option for option in own if option.kind is not option.VAR_KEYWORD)]
        command.__signature__ = inspect.Signature(whole)  # type: ignore[attr-defined]  # for typer
        command.__annotations__ = {option.name: option.annotation for option in whole}
        return command

    return widened
