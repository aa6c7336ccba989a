"""Console script `chipvote-train`: the stages, one by one or all in a row."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.logging import RichHandler
from rich.text import Text

from service.bundle import load
from service.errors import BundleError
from training.progress import console
from training.recipes import RECIPES
from training.workspace import Run, Source

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train an ensemble on labelled chips, tune its thresholds, and export it for the service.",
)

Folder = Annotated[Path, typer.Argument(help="The run's folder, made by `run` or `prepare`.")]
Name = Annotated[str | None, typer.Option(help="Name of the bundle; the recipe's name by default.")]
Version = Annotated[str, typer.Option(help="Version of the bundle.")]
Recipe = Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")]
Data = Annotated[Path, typer.Option(help="Folder with a tags CSV (image_name,tags) and the chips.")]
Out = Annotated[Path, typer.Option(help="The run's folder; a run that is there is resumed.")]
Tags = Annotated[Path | None, typer.Option(help="The tags CSV, if --data holds several.")]
Chips = Annotated[Path | None, typer.Option(help="The chips' folder, if it has an unusual name.")]
Weights = Annotated[
    Path | None,
    typer.Option(help="Folder of <architecture>.safetensors ImageNet weights; downloaded by default."),
]
SkipBad = Annotated[bool, typer.Option(help="Leave out rows without a usable chip.")]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="ray[://HOST:PORT]",
        help="Fit members in parallel on a Ray cluster, one GPU each if there are any. The run's folder, the "
        "chips and the weights must be on a file system that all its machines share, at the same paths. "
        "By default, one after another here.",
    ),
]


@app.command()
def run(
    data: Data,
    out: Out,
    recipe: Recipe = "heads",
    tags: Tags = None,
    chips: Chips = None,
    weights: Weights = None,
    skip_bad: SkipBad = False,
    name: Name = None,
    version: Version = "1.0.0",
    workers: Workers = None,
) -> None:
    """Do all stages, leaving out what is done: prepare, fit, predict, tune, evaluate, export."""
    prepare(data, out, recipe, tags, chips, weights, skip_bad)
    fit(out, workers)
    predict(out)
    tune(out)
    evaluate(out)
    export(out, name, version)


@app.command()
def prepare(
    data: Data,
    out: Out,
    recipe: Recipe = "heads",
    tags: Tags = None,
    chips: Chips = None,
    weights: Weights = None,
    skip_bad: SkipBad = False,
) -> None:
    """Stage 0: check and decode the chips, and assign folds."""
    from training import dataset, preflight

    if recipe not in RECIPES:
        raise ValueError(f"no recipe {recipe!r}; there are {', '.join(RECIPES)}")
    source = Source(
        data=data.resolve(),
        tags=tags and tags.resolve(),
        chips=chips and chips.resolve(),
        weights=weights and weights.resolve(),
        skip_bad=skip_bad,
    )
    config = RECIPES[recipe]()
    preflight.check_options(config)
    started = Run.start(out, config, source)
    preflight.check_data(started, dataset.prepare(started))


@app.command()
def fit(folder: Folder, workers: Workers = None) -> None:
    """Stage 1: train every member on every fold."""
    if workers is None:
        from training import fit as stage

        stage.fit(Run.open(folder))
    else:
        from training.workers import fit_on

        fit_on(Run.open(folder), workers)


@app.command()
def predict(folder: Folder) -> None:
    """Stage 2: out-of-fold probabilities."""
    from training import predict as stage

    stage.predict(Run.open(folder))


@app.command()
def tune(folder: Folder) -> None:
    """Stage 3: thresholds and quorum."""
    from training import tune as stage

    stage.tune(Run.open(folder))


@app.command()
def evaluate(folder: Folder) -> None:
    """Stage 4: scores, cross-fitted and in-sample."""
    from training import evaluate as stage

    stage.evaluate(Run.open(folder))


@app.command()
def export(folder: Folder, name: Name = None, version: Version = "1.0.0") -> None:
    """Stage 5: checked ONNX graphs and the bundle."""
    from training import export as stage

    opened = Run.open(folder)
    stage.export(opened, name=name or opened.config.recipe, version=version)


@app.command()
def score(
    bundle: Annotated[Path, typer.Argument(help="A bundle, for example models/uc-merced.")],
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Write the label sets to this CSV.")] = None,
    tags: Tags = None,
    chips: Chips = None,
    skip_bad: SkipBad = False,
    precision: Annotated[str | None, typer.Option(help="int8, float16 or float32.")] = None,
) -> None:
    """Score a finished bundle on labelled chips, and write the label sets it gives them."""
    from training import score as stage

    opened = load(bundle)
    choices = sorted(opened.manifest.precisions, reverse=True)  # int8 first, as the service on a CPU
    chosen = next((choice for choice in choices if precision in (None, choice)), None)
    if chosen is None:
        raise ValueError(f"{bundle}: has {', '.join(choices)}, not {precision}")
    stage.score(opened, Source(data=data, tags=tags, chips=chips, skip_bad=skip_bad), chosen, out)


@app.command()
def install(
    folder: Folder, target: Annotated[Path, typer.Argument(help="Where the service looks for it.")]
) -> None:
    """Verify a run's bundle and put it in place of the one at TARGET."""
    from training import export as stage

    stage.install(Run.open(folder).need("bundle", "export"), target)


def main() -> None:
    """Run the command line; an expected failure is one line and exit code 1."""
    # Read when PyTorch is first imported. Its own choice counts physical cores, of which a cloud
    # machine with two processors has one.
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(processors))
    logging.basicConfig(
        format="%(message)s",
        handlers=[RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")],
    )
    logging.getLogger("training").setLevel(logging.INFO)  # libraries: warnings only
    try:
        app()
    except (ValueError, OSError, BundleError) as error:
        # A path may hold what looks like markup, and is of no use cut into lines.
        console.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        raise SystemExit(1) from None
