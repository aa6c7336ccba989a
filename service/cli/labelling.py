"""Commands about a bundle: label files, show its labels, check it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.cli.console import DEFAULT_BUNDLE, BundleOption, KeyOption, app, service_at

if TYPE_CHECKING:
    from service.client.schemas import Answer, Labels

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, as the HTTP service answers")]
SHOWN = 5  # names of files


@app.command()
def predict(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Images, or folders to search for images; of a sensor's chips also one file for each band"
        ),
    ],
    bundle: BundleOption = None,
    as_json: JsonOption = False,
    all_members: Annotated[
        bool,
        typer.Option(
            "--all-members",
            help="Run all members on every file. By default, where the rule is a plain vote, a file is done "
            "when no member can change its labels; probabilities are then the mean of those that ran",
        ),
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Have the service at this address do it, as http://127.0.0.1:8000")
    ] = None,
    key: KeyOption = None,
) -> None:
    """Label files, here or by a service; exits with 1 if any file cannot be used."""
    from service.client.files import SUFFIXES, find_images
    from service.client.tables import prediction_table

    if url and (bundle or all_members):
        raise typer.BadParameter("the service has its own bundle and settings", param_hint="--url")
    images = find_images(files)
    if not images:
        print(f"chipvote: no image ({', '.join(SUFFIXES)}) in these folders", file=sys.stderr)
        raise typer.Exit(1)
    answer = _predict_by_service(images, url, key) if url else _predict_here(images, bundle, all_members)
    if as_json:
        _print_json(answer)
    else:
        Console().print(prediction_table(answer["predictions"]))
    raise typer.Exit(any("error" in result for result in answer["predictions"]))


def _predict_here(images: Sequence[Path], bundle: Path | None, all_members: bool) -> Answer:
    from service.client.progress import watch
    from service.offline.files import answer
    from service.settings import read_settings

    answers = answer(images, read_settings(bundle=bundle), all_members)
    if answers.beside:
        names = ", ".join(sorted({image.name for image in answers.beside})[:SHOWN])
        count = len(answers.beside)
        print(f"chipvote: left out {count} files beside bands that are none: {names}", file=sys.stderr)
    return {"model": answers.model, "predictions": list(watch(answers.results, answers.chips, "chips"))}


def _predict_by_service(images: Sequence[Path], url: str, key: str | None) -> Answer:
    with service_at(url, key) as service:
        return {"model": service.labels()["model"], "predictions": list(service.predict(images))}


@app.command()
def labels(bundle: BundleOption = None, as_json: JsonOption = False) -> None:
    """Show a bundle's labels, in order, with thresholds and measured F2."""
    from service.answers import predictions
    from service.client.tables import label_table
    from service.contract.bundle import load
    from service.settings import read_settings

    answer = predictions.labels(load(read_settings(bundle=bundle).bundle))
    if as_json:
        _print_json(answer)
    else:
        Console().print(label_table(answer))


@app.command()
def check(
    bundle: Annotated[Path | None, typer.Argument(help="Bundle folder", show_default=DEFAULT_BUNDLE)] = None,
    as_served: Annotated[
        bool, typer.Option("--as-served", help="Only at the precision that a service would take here")
    ] = False,
) -> None:
    """Verify every file of a bundle, then reproduce its golden answers at each precision."""
    from service.contract.bundle import load
    from service.engine.ensemble import Ensemble
    from service.engine.fallback import gpu_of, open_ensemble
    from service.settings import read_settings

    settings = read_settings(bundle=bundle)
    loaded = load(settings.bundle)
    manifest = loaded.manifest
    agree = f"{len(manifest.members)} member(s) agree with golden"
    print(f"{manifest.name} {manifest.version}: every file is as sealed")
    if as_served:
        ensemble = open_ensemble(loaded, settings)
        print(f"{ensemble.precision} on {ensemble.device}: {agree}")
        return
    precisions = manifest.precisions if settings.precision == "auto" else {settings.precision}
    for precision in sorted(precisions):
        ensemble = Ensemble(loaded, settings.device, precision, settings.threads, gpu_of(settings))
        ensemble.self_test()
        print(f"{precision} on {ensemble.device}: {agree}")


def _print_json(answer: Answer | Labels) -> None:
    print(json.dumps(answer, indent=2))  # in ASCII: it can spell any file's name
