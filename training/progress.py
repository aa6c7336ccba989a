"""One progress bar for loops that take more than a moment."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True)
T = TypeVar("T")


def bar() -> Progress:
    """Return a progress display that leaves its last state on a terminal and nothing in a log."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield the items while a bar counts them."""
    with bar() as progress:
        yield from progress.track(items, total=total, description=description)
