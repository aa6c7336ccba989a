"""A progress bar for whoever waits at a terminal. Knows nothing of what is waited for."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

T = TypeVar("T")

PATIENCE_S = 2.0  # a progress bar before that would only flicker


def watch(results: Iterable[T], total: int | None) -> Iterator[T]:
    """Pass results on, and show on stderr how far they are once it takes a while."""
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task("chips", total=total)
    began_s = time.monotonic()
    shown = False
    try:
        for result in results:
            progress.advance(task)
            if not shown and time.monotonic() - began_s > PATIENCE_S:
                progress.start()
                shown = True
            yield result
    finally:
        progress.stop()
