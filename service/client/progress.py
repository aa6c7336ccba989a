"""Progress, for whoever waits at a terminal."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from .schemas import Swap

T = TypeVar("T")

POLL_S = 0.2  # a step takes seconds
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


def wait_for_swap(ask: Callable[[], Swap]) -> Swap:
    """Ask how far a swap got until it is done or refused, and show that on stderr."""
    found = ask()
    with Console(stderr=True).status("") as status:
        while (job := found["job"]) and job["step"] not in ("done", "refused"):
            status.update(Text(f"{job['bundle']}: {job['step']}"))
            time.sleep(POLL_S)
            found = ask()
    return found
