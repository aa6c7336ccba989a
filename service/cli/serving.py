"""Commands about a service: run it, make its keys, let another bundle answer."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.cli.console import BundleOption, KeyOption, app, service_at
from service.contract.limits import check_limits

if TYPE_CHECKING:
    from service.client import Client


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
    bundles: Annotated[
        Path | None,
        typer.Option(help="Folder of bundles that `chipvote swap` may bring in", show_default="none may be"),
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
        bundles=bundles,
        keys=keys,
        open=open_to_all,
    )
    launch.serve(settings)


def _end(number: int, _: object) -> None:
    """End at once: nothing was accepted yet, and a library may be busy for long."""
    os.write(2, f"chipvote: ended by {signal.Signals(number).name} while starting\n".encode())
    os._exit(128 + number)


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
def swap(
    bundle: Annotated[
        str | None,
        typer.Argument(
            help="Name of its folder; that or the version of the one before swaps back at once",
            show_default="list all",
        ),
    ] = None,
    shadow: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Try it unseen on this share of chips", show_default="it answers"),
    ] = None,
    most_different: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of decisions on the last chips that may differ", show_default="0.1"
        ),
    ] = None,
    end_shadow: Annotated[bool, typer.Option("--end-shadow", help="Drop the bundle that is tried")] = False,
    url: Annotated[str, typer.Option(help="Address of the service")] = "http://127.0.0.1:8000",
    key: KeyOption = None,
) -> None:
    """Let another bundle answer, or try it unseen; without a name, show which are loaded.

    It must be in the folder that the service was started with (`chipvote serve --bundles`). After a
    restart the service has the bundle of its settings again.
    """
    from service.client.progress import wait_for_swap
    from service.client.tables import swap_table

    if (shadow is not None and not bundle) or (end_shadow and bundle):
        raise typer.BadParameter("--shadow needs a bundle's name, --end-shadow takes none")
    asked = bundle or end_shadow
    with service_at(url, key) as service:
        if end_shadow:
            service.end_shadow()
        elif bundle and shadow is not None:
            service.shadow(bundle, shadow, most_different=most_different)
        elif bundle:
            service.swap(bundle, most_different=most_different)
        found = wait_for_swap(service.loaded) if asked else service.loaded()
        Console().print(swap_table(found))
        if found["shadow"]:
            _print_differences(service)
    if asked and (job := found["job"]) and job["step"] == "refused":
        print(f"chipvote: {job['bundle']} was refused: {job['detail']}", file=sys.stderr)
        raise typer.Exit(1)


def _print_differences(service: Client) -> None:
    from service.client import ChipvoteError
    from service.client.tables import shadow_table

    try:
        Console().print(shadow_table(service.differences()))
    except ChipvoteError as error:
        if not error.problem or error.problem["status"] != HTTPStatus.FORBIDDEN:
            raise
        print("What differs is for keys with the scope metrics.")
