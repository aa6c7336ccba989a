"""Progress, for whoever waits at a terminal."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.text import Text

from .schemas import Swap

T = TypeVar("T")

POLL_S = 0.2  # a step takes seconds
PATIENCE_S = 2.0  # a progress bar before that would only flicker
LINE_S = 60.0  # between two lines where there is no terminal


class _Rate(ProgressColumn):
    """Chips a second, lately."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def watch(results: Iterable[T], total: int | None, done: int = 0) -> Iterator[T]:
    """Pass results on, and show on stderr how far they are once it takes a while.

    Args:
        results: those that are still to come.
        total: how many there are in all.
        done: how many were there before.
    """
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), _Rate())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task("chips", total=total, completed=done)
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


def tell(results: Iterable[T], total: int, done: int = 0) -> Iterator[T]:
    """Pass results on, and where stderr is no terminal, print a line now and then: for a log."""
    quiet = Console(stderr=True).is_terminal
    began_s = said_s = time.monotonic()
    for count, result in enumerate(results, 1):
        yield result
        now_s = time.monotonic()
        if not quiet and now_s - said_s > LINE_S:
            said_s, rate = now_s, count / (now_s - began_s)
            left_min = (total - done - count) / rate / 60
            print(
                f"{done + count:,} of {total:,} chips, {rate:,.1f}/s, {left_min:,.0f} min left",
                file=sys.stderr,
                flush=True,
            )


def wait_for_swap(ask: Callable[[], Swap]) -> Swap:
    """Ask how far a swap got until it is done or refused, and show that on stderr."""
    found = ask()
    with Console(stderr=True).status("") as status:
        while (job := found["job"]) and job["step"] not in ("done", "refused"):
            status.update(Text(f"{job['bundle']}: {job['step']}"))
            time.sleep(POLL_S)
            found = ask()
    return found
