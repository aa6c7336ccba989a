"""Commands about many chips at once: label a whole archive, and go on where that ended."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.cli.console import BundleOption, app


@app.command()
def score(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A folder (links to folders in it are not followed), a list of chips (.csv, .parquet), a "
            ".tar of chips, or an address of one of them: s3://, gs://, az://, https:// (of a folder, if it "
            "is WebDAV) or what else fsspec knows",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of Parquet files, or one file that ends in .parquet")],
    bundle: BundleOption = None,
    column: Annotated[
        str | None, typer.Option(help="Column of the list that names chips", show_default="found by its name")
    ] = None,
    all_members: Annotated[
        bool, typer.Option("--all-members", help="Run all members on every chip; see `chipvote predict`")
    ] = False,
    each_copy: Annotated[
        bool,
        typer.Option(
            "--each-copy",
            help="Run the networks on every copy of a chip. By default, equal bytes are answered as they "
            "were first; the column duplicate_of tells them either way",
        ),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes here, or actors of a cluster", show_default="as many as are of use"
        ),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Let a Ray cluster do it; one is started here if none is named")
    ] = False,
    ray_address: Annotated[
        str | None, typer.Option(envvar="RAY_ADDRESS", help="Address of the cluster: auto, or host:6379")
    ] = None,
    part: Annotated[int, typer.Option(min=1, help="Chips in a part, which is written at once")] = 1000,
    restart: Annotated[
        bool, typer.Option("--restart", help="Drop what an earlier run wrote, and begin again")
    ] = False,
) -> None:
    """Label any number of chips into Parquet: a row for each, and a table of those with an error.

    The same command goes on where it was ended. Exits with 1 if any chip cannot be used.
    """
    from service.client.progress import watch
    from service.offline.bulk.scoring import Job, begun
    from service.settings import read_settings

    job = Job(
        source=source,
        out=out,
        settings=read_settings(bundle=bundle),
        column=column,
        all_members=all_members,
        each_copy=each_copy,
        part=part,
        processes=processes or 0,
        ray=ray,
        address=ray_address if ray else None,
        restart=restart,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # schedulers' Ctrl-C
    with begun(job) as run:
        if run.done:
            print(f"chipvote: {run.done:,} of {run.chips:,} chips are there already", file=sys.stderr)
        try:
            for _ in watch(run.rows(), run.chips, "chips", run.done):
                pass
        except KeyboardInterrupt:
            print("chipvote: ended; the same command goes on where it was", file=sys.stderr)
            raise typer.Exit(130) from None
        counts = run.counts()
    where = f" ({job.errors})" if counts.failed else ""
    print(f"{counts.labelled:,} chips labelled, {counts.failed:,} cannot be used{where}")
    raise typer.Exit(counts.failed > 0)
