"""Console script `chipvote-train`: the stages, one by one or all in a row."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from service.contract.bundle import load
from service.contract.errors import BundleError
from service.contract.processors import processors
from training import options
from training.config.recipes import find_recipe
from training.config.sensor import with_sensor
from training.run.folder import Run, Source
from training.run.progress import console, log_to_console

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train an ensemble on labelled chips, tune its thresholds, and export it for the service.",
)


@app.callback()
def before(version: options.ShowVersion = False) -> None:
    """Take the options that stand before a command."""


@app.command()
def prepare(
    data: options.Data,
    out: options.Out,
    recipe: options.Recipe = "heads",
    variants: options.Variants = None,
    tags: options.Tags = None,
    chips: options.Chips = None,
    weights: options.Weights = None,
    skip_bad: options.SkipBad = False,
    exclude: options.Exclude = None,
    tif: options.Tif = None,
    audit: options.Audit = None,
    separator: options.Separator = None,
    sensor: options.SensorName = None,
    file_bands: options.FileBands = None,
    block_km: options.BlockKm = None,
    group: options.Group = None,
    grey: options.Grey = False,
) -> None:
    """Stage 0: check and decode the chips, and assign folds."""
    from training.data import dataset
    from training.fit import preflight

    source = Source(
        data=data.resolve(),
        tags=tags and tags.resolve(),
        chips=chips and chips.resolve(),
        weights=weights and weights.resolve(),
        skip_bad=skip_bad,
        exclude=exclude and exclude.resolve(),
        tif=tif and tif.resolve(),
        audit=audit and audit.resolve(),
        separator=separator,
        block_km=block_km,
        group=group,
    )
    config = with_sensor(find_recipe(recipe, variants or ()), sensor, file_bands)
    config = replace(config, grey=grey or config.grey)
    preflight.check_options(config)
    started = Run.start(out, config, source)
    with started.alone():
        preflight.check_data(started, dataset.prepare(started))


@app.command()
@options.beside(prepare)
def run(
    name: options.Name = None,
    version: options.Version = "1.0.0",
    workers: options.Workers = None,
    **prepared: Any,  # noqa: ANN401 — what `prepare` takes
) -> None:
    """Do all stages that are not done: prepare, fit, predict, tune, evaluate, report, export."""
    from training.fit import preflight

    out, recipe = prepared["out"], find_recipe(prepared["recipe"], prepared["variants"] or ())
    preflight.check_name(name or recipe.recipe, version)
    prepare(**prepared)
    fit(out, workers)
    predict(out)
    tune(out)
    evaluate(out)
    report(out)
    export(out, name, version)


@app.command("look")
def look_at(
    data: Annotated[Path, typer.Argument(help="Folder with a tags CSV and the chips.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("look.html"),
    tags: options.Tags = None,
    chips: options.Chips = None,
    separator: options.Separator = None,
    sensor: options.SensorName = None,
) -> None:
    """Write a page on the data before any training: labels, sizes, values, copies, odd rows."""
    from training.data.dataset import spec_of
    from training.report import look as page

    spec = spec_of(with_sensor(find_recipe("heads", ()), sensor)) if sensor else None
    page.look(Source(data=data, tags=tags, chips=chips, separator=separator), out, spec)


@app.command()
def fit(folder: options.Folder, workers: options.Workers = None) -> None:
    """Stage 1: train every member on every fold."""
    from training.data.dataset import open_dataset
    from training.fit.estimate import announce
    from training.fit.fit import fit as fit_here
    from training.fit.workers import fit_on

    with Run.open(folder).alone() as opened:
        # This machine's speed says nothing of the workers'.
        announce(opened, open_dataset(opened), measured=workers is None)
        if workers is None:
            fit_here(opened)
        else:
            fit_on(opened, workers)


@app.command()
def predict(folder: options.Folder) -> None:
    """Stage 2: out-of-fold probabilities."""
    from training.fit import predict as stage

    with Run.open(folder).alone() as opened:
        stage.predict(opened)


@app.command()
def tune(folder: options.Folder) -> None:
    """Stage 3: thresholds and quorum."""
    from training.decision import tune as stage

    with Run.open(folder).alone() as opened:
        stage.tune(opened)


@app.command()
def evaluate(folder: options.Folder) -> None:
    """Stage 4: scores, cross-fitted and in-sample."""
    from training.evaluation import evaluate as stage

    with Run.open(folder).alone() as opened:
        stage.evaluate(opened)


@app.command()
def report(folder: options.Folder) -> None:
    """Write scores with intervals, figures and example chips as one page, `report.html`."""
    from training.report import report as page

    with Run.open(folder).alone() as opened:
        page.report(opened)


@app.command()
def export(folder: options.Folder, name: options.Name = None, version: options.Version = "1.0.0") -> None:
    """Stage 5: checked ONNX graphs and the bundle."""
    from training.export import export as stage
    from training.fit import preflight

    with Run.open(folder).alone() as opened:
        name = name or opened.config.recipe
        preflight.check_name(name, version)
        stage.export(opened, name=name, version=version)


@app.command()
def score(
    bundle: options.FinishedBundle,
    data: options.Data,
    out: Annotated[Path | None, typer.Option(help="Write the label sets to this CSV.")] = None,
    tags: options.Tags = None,
    chips: options.Chips = None,
    separator: options.Separator = None,
    skip_bad: options.SkipBad = False,
    precision: options.GraphPrecision = None,
) -> None:
    """Score a finished bundle on labelled chips, and write the label sets it gives them."""
    from training.evaluation import score as stage
    from training.evaluation.inference import choose_precision

    opened = load(bundle)
    source = Source(data=data, tags=tags, chips=chips, skip_bad=skip_bad, separator=separator)
    stage.score(opened, source, choose_precision(opened, precision), out)


@app.command()
def submission(
    bundle: options.FinishedBundle,
    chips: Annotated[list[Path] | None, typer.Option(help="Folder of chips; may be repeated.")] = None,
    sample: Annotated[Path | None, typer.Option(help="CSV whose rows and order to follow.")] = None,
    out: Annotated[Path | None, typer.Option(help="The CSV to write.")] = None,
    check: Annotated[Path | None, typer.Option(help="Only check this CSV; runs nothing.")] = None,
    skip_bad: Annotated[bool, typer.Option(help="Give unreadable chips no tags.")] = False,
    precision: options.GraphPrecision = None,
) -> None:
    """Label unlabelled chips (a plain vote stops early), and write or check the file for Kaggle."""
    from training.evaluation import submission as stage
    from training.evaluation.inference import choose_precision

    opened, folders = load(bundle), chips or []
    if check:
        stage.check(check, opened.label_names, stage.wanted_names(folders, sample))
        return
    if not folders or not out:
        raise ValueError("name the chips with --chips and the file to write with --out, or use --check")
    stage.submit(opened, folders, choose_precision(opened, precision), out, sample, skip_bad=skip_bad)


@app.command()
def compare(
    first: options.Compared,
    second: options.Compared,
    data: Annotated[Path | None, typer.Option(help="Chips to train recipes on; not for runs.")] = None,
    weights: options.Weights = None,
    out: Annotated[Path, typer.Option(help="Where recipes are trained, each in its folder.")] = Path("runs"),
) -> None:
    """Print how much better SECOND is than FIRST: paired difference in F2 with its interval."""
    from training.evaluation import compare as stage

    stage.compare(*(_predicted(name, data, weights, out) for name in (first, second)))


def _predicted(name: str, data: Path | None, weights: Path | None, out: Path) -> Run:
    """Return a run with its predictions: the one in a folder, or a recipe's, trained if need be."""
    if (Path(name) / "run.json").exists():
        return Run.open(Path(name))
    if data is None:
        raise ValueError(f"{name}: no run is there; to train a recipe of that name, give --data")
    recipe, *variants = name.split("+")
    folder = out / find_recipe(recipe, variants).recipe
    prepare(data, folder, recipe, variants, weights=weights)
    fit(folder)
    predict(folder)
    return Run.open(folder)


@app.command()
def install(
    folder: options.Folder, target: Annotated[Path, typer.Argument(help="Where the service looks for it.")]
) -> None:
    """Verify a run's bundle and put it in place of the one at TARGET."""
    from training.export import export as stage

    stage.install(Run.open(folder).need("bundle", "export"), target)


@app.command("audit")
def audit_pairs(
    tif: Annotated[Path, typer.Option(help="Folder of TIFF chips.")],
    jpg: Annotated[Path, typer.Option(help="Folder of JPEG chips with the same names.")],
    out: Annotated[Path, typer.Option(help="Folder for audit.csv, exclude.csv and contact_sheet.png.")],
) -> None:
    """Tell which TIFFs show their JPEG's ground, and which are shifted or show other ground."""
    from training.data import audit as stage

    stage.audit(tif, jpg, out)


def main() -> None:
    """Run the command line; an expected failure is one line and exit code 1."""
    # Read when PyTorch is first imported, which it then is by all of this process and its children.
    # Its own choice counts physical cores, of which a cloud machine with two processors has one,
    # and no quotas.
    os.environ.setdefault("OMP_NUM_THREADS", str(processors()))
    log_to_console()
    try:
        app()
    except (ValueError, OSError, BundleError) as error:
        # A path may hold what looks like markup, and is of no use cut into lines.
        console.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        raise SystemExit(1) from None
