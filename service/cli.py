"""The console script `chipvote`: one command per thing an operator does.

Reads options, calls the modules below, prints. A `StartupError` or a `ChipvoteError` becomes one
line on stderr and exit status 1.

A command imports what it needs when it runs: whoever asks for help, or lets a service elsewhere
label, waits neither for the server nor for ONNX Runtime.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from service.contract.errors import StartupError
from service.contract.limits import check_limits
from service.contract.version import __version__

if TYPE_CHECKING:
    from service.client.schemas import Answer, Labels

app = typer.Typer(
    help="Label satellite chips with a voting ensemble.\n\nEvery setting is also an environment variable "
    "with the prefix CHIPVOTE_, such as CHIPVOTE_DEVICE=cuda; an option wins over its variable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SHOWN = 5  # names of files
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
DEFAULT_BUNDLE = "the one that comes with Chipvote"
BundleOption = Annotated[
    Path | None, typer.Option("--bundle", "-b", help="Bundle folder", show_default=DEFAULT_BUNDLE)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, as the HTTP service answers")]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 could not (or some file could not), 2 wrong usage."""
    try:
        try:
            app(arguments, prog_name="chipvote")
        finally:
            sys.stdout.flush()
    except StartupError as error:
        print(f"chipvote: {error}", file=sys.stderr)
    except MemoryError:
        print("chipvote: memory is short; give this process more of it", file=sys.stderr)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python tries again as it ends
        print(
            f"chipvote: the output cannot be written ({error.strerror}); write it elsewhere", file=sys.stderr
        )
    sys.exit(1)


def _end(number: int, _: object) -> None:
    """End at once: nothing was accepted yet, and a library may be busy for long."""
    os.write(2, f"chipvote: ended by {signal.Signals(number).name} while starting\n".encode())
    os._exit(128 + number)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"chipvote {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def serve(
    bundle: BundleOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one", show_default="8000")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda", show_default="auto")] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, int8, float16 or float32", show_default="auto")
    ] = None,
    early_exit: Annotated[
        bool | None,
        typer.Option(
            help="Leave a chip alone once no member can change its labels; a plain vote only",
            show_default="no-early-exit",
        ),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="File of the keys that requests need", show_default="no key is needed")
    ] = None,
    open_to_all: Annotated[
        bool | None,
        typer.Option("--open", help="Listen on other addresses than the loopback's without keys"),
    ] = None,
) -> None:
    """Answer HTTP requests until SIGTERM or Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # process 1 has no default: it would load on
    check_limits()
    from service.server import launch
    from service.settings import read_settings

    settings = read_settings(
        bundle=bundle,
        host=host,
        port=port,
        device=device,
        precision=precision,
        early_exit=early_exit,
        keys=keys,
        open=open_to_all,
    )
    launch.serve(settings)


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
    key: Annotated[
        str | None,
        typer.Option(envvar="CHIPVOTE_KEY", help="Token for that service, or for a proxy before it"),
    ] = None,
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
    from service import offline
    from service.answers import predictions
    from service.client.progress import watch
    from service.contract.bundle import load
    from service.contract.chips.band_files import ChipSource, first_file, group_bands
    from service.engine.fallback import open_ensemble
    from service.settings import read_settings

    settings = read_settings(bundle=bundle)
    loaded = load(settings.bundle)
    early_exit = not all_members and loaded.early_voter is not None
    ensemble = open_ensemble(loaded, settings.model_copy(update={"early_exit": early_exit}))
    bands, alone, beside = group_bands(images, loaded.manifest.input)
    if beside:
        names = ", ".join(sorted({image.name for image in beside})[:SHOWN])
        print(f"chipvote: left out {len(beside)} files beside bands that are none: {names}", file=sys.stderr)
    place = {image: index for index, image in enumerate(images)}
    chips: list[ChipSource] = sorted([*bands, *alone], key=lambda chip: place[first_file(chip)])
    results = watch(offline.predict_files(ensemble, loaded, chips, settings), len(chips))
    return {"model": predictions.model(loaded), "predictions": list(results)}


def _predict_by_service(images: Sequence[Path], url: str, key: str | None) -> Answer:
    from service.client import ChipvoteError, Client

    try:
        service = Client(url, key)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
    try:
        return {"model": service.labels()["model"], "predictions": list(service.predict(images))}
    except ChipvoteError as error:
        print(f"chipvote: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


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
def key(
    name: Annotated[str, typer.Argument(help="Whose key it is, as the log and the metrics say it")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="predict, metrics or admin; may be repeated", show_default="predict"),
    ] = None,
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day, in UTC", show_default="never")
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Most requests in a minute", show_default="any number")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(help="Most requests at the same time", show_default="any number")
    ] = None,
) -> None:
    """Make a key: print its line for the file of CHIPVOTE_KEYS and, on stderr, once, its token."""
    from service.server.access.keys import mint

    token, line = mint(
        name,
        scopes=scope or ["predict"],
        expires=expires and expires.date(),
        rate=rate,
        concurrent=concurrent,
    )
    print(line)
    print(f"The token, which is told only now: {token}", file=sys.stderr)


@app.command()
def check(
    bundle: Annotated[Path | None, typer.Argument(help="Bundle folder", show_default=DEFAULT_BUNDLE)] = None,
) -> None:
    """Verify every file of a bundle, then reproduce its golden answers at each precision."""
    from service.contract.bundle import load
    from service.engine.ensemble import Ensemble
    from service.engine.fallback import gpu_of
    from service.settings import read_settings

    settings = read_settings(bundle=bundle)
    loaded = load(settings.bundle)
    manifest = loaded.manifest
    print(f"{manifest.name} {manifest.version}: every file is as sealed")
    precisions = manifest.precisions if settings.precision == "auto" else {settings.precision}
    for precision in sorted(precisions):
        ensemble = Ensemble(loaded, settings.device, precision, settings.threads, gpu_of(settings))
        ensemble.self_test()
        print(f"{precision} on {ensemble.device}: {len(manifest.members)} member(s) agree with golden")


def _print_json(answer: Answer | Labels) -> None:
    print(json.dumps(answer, indent=2))  # in ASCII: it can spell any file's name
