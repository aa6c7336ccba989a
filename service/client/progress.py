"""Progress, for whoever waits: a bar that moves on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from .schemas import Swap

T = TypeVar("T")

POLL_S = 0.2  # a step takes seconds
PATIENCE_S = 2.0  # a bar before that would only flicker
REDRAW_S = 0.2
LINE_S = 10.0  # between two lines where there is no terminal


class Pace:
    """Tells on stderr how far long work is, how fast, and how long it takes; for a `with`."""

    def __init__(self, total: int | None, unit: str, done: int = 0) -> None:
        """Begin to take the time.

        Args:
            total: how many there are in all; None where nobody knows.
            unit: what they are, in the plural.
            done: how many were there before.
        """
        self._total, self._unit, self._done = total, unit, done
        self._console = Console(stderr=True)
        columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
        self._bar = Progress(*columns, console=self._console, transient=True, auto_refresh=False)
        self._task = self._bar.add_task(unit, total=total, completed=done, pace="")
        self._began_s = self._told_s = time.monotonic()
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._bar.stop()

    def reached(self, count: int) -> None:
        """Tell it, unless something has just been told.

        Args:
            count: how many there are now, with those that were there before.
        """
        now_s, terminal = time.monotonic(), self._console.is_terminal
        if now_s - self._told_s < (REDRAW_S if terminal else LINE_S):
            return
        self._told_s, rate = now_s, (count - self._done) / (now_s - self._began_s)
        pace = f"{rate:.3g}/s"
        if self._total and rate:
            pace += f", {timedelta(seconds=round((self._total - count) / rate))} left"
        if not terminal:
            of = f" of {self._total:,}" if self._total else ""
            print(f"chipvote: {count:,}{of} {self._unit}, {pace}", file=sys.stderr, flush=True)
        elif now_s - self._began_s > PATIENCE_S:
            if not self._drawn:
                self._bar.start()
                self._drawn = True
            self._bar.update(self._task, completed=count, pace=pace, refresh=True)


def watch(results: Iterable[T], total: int | None, unit: str, done: int = 0) -> Iterator[T]:
    """Pass results on, and tell how far they are; arguments as for `Pace`."""
    with Pace(total, unit, done) as pace:
        for count, result in enumerate(results, done + 1):
            yield result
            pace.reached(count)


def wait_for_swap(ask: Callable[[], Swap]) -> Swap:
    """Ask how far a swap got until it is done or refused, and show that on stderr."""
    found = ask()
    with Console(stderr=True).status("") as status:
        while (job := found["job"]) and job["step"] not in ("done", "refused"):
            status.update(Text(f"{job['bundle']}: {job['step']}"))
            time.sleep(POLL_S)
            found = ask()
    return found
