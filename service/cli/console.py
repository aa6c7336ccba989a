"""What all commands share: the application, its end, options that several take."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from service.contract.errors import StartupError
from service.contract.version import __version__

if TYPE_CHECKING:
    from service.client import Client

app = typer.Typer(
    help="Label satellite chips with a voting ensemble.\n\nEvery setting is also an environment variable "
    "with the prefix CHIPVOTE_, such as CHIPVOTE_DEVICE=cuda; an option wins over its variable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# The packages of the extra `scenes`, by the names that they are imported by.
_SCENES = ("fsspec", "obstore", "pyarrow", "pyogrio", "rasterio", "shapely")
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
DEFAULT_BUNDLE = "the one that comes with Chipvote"
BundleOption = Annotated[
    Path | None, typer.Option("--bundle", "-b", help="Bundle folder", show_default=DEFAULT_BUNDLE)
]
KeyOption = Annotated[
    str | None, typer.Option(envvar="CHIPVOTE_KEY", help="Token for that service, or for a proxy before it")
]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 could not (or some file could not), 2 wrong usage."""
    try:
        try:
            app(arguments, prog_name="chipvote")
        finally:
            sys.stdout.flush()
    except StartupError as error:
        print(f"chipvote: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        lacking = (error.name or "").partition(".")[0]
        if lacking not in _SCENES:
            raise
        print(f"chipvote: this needs {lacking}; pip install 'chipvote[scenes]'", file=sys.stderr)
    except MemoryError:
        print("chipvote: memory is short; give this process more of it", file=sys.stderr)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python tries again as it ends
        print(
            f"chipvote: the output cannot be written ({error.strerror}); make room, or write it elsewhere",
            file=sys.stderr,
        )
    sys.exit(1)


@contextmanager
def service_at(url: str, key: str | None) -> Iterator[Client]:
    """Have a service elsewhere do something; that it cannot is one line and exit status 1."""
    from service.client import ChipvoteError, Client

    try:
        service = Client(url, key)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
    try:
        yield service
    except ChipvoteError as error:
        print(f"chipvote: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


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
