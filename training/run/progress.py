"""One progress bar for loops that take more than a moment."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from service.contract.processors import processors

console = Console(stderr=True)
T = TypeVar("T")
R = TypeVar("R")
SLICE = 256
WAITING = 4  # threads beside those that compute, because some wait for the disk


def log_to_console() -> None:
    """Show what training logs, in full lines; of libraries only warnings."""
    logging.basicConfig(
        format="%(message)s",
        handlers=[RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")],
    )
    logging.getLogger("training").setLevel(logging.INFO)


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


def in_threads(function: Callable[[T], R], items: Sequence[T], description: str) -> Iterator[R]:
    """Yield each item's result, in order, while a bar counts them.

    In slices, so that fast workers never run far ahead of a slow reader.
    """
    with ThreadPoolExecutor(processors() + WAITING) as pool:
        slices = (items[start : start + SLICE] for start in range(0, len(items), SLICE))
        results = (result for part in slices for result in pool.map(function, part))
        yield from track(results, description, len(items))
