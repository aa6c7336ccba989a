"""How far long work is: a line that moves on a terminal, one every so often elsewhere."""

import sys
import time
from collections.abc import Iterator
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

LINE_S = 10.0
REDRAW_S = 0.2


def follow(done: Iterator[int], total: int, unit: str) -> None:
    """Draw on work until it ends; tell on stderr how far it is, how fast, and how long it takes.

    Args:
        done: how many are done already, then after each step how many are.
        total: of them.
        unit: what they are, in the plural.
    """
    console = Console(stderr=True)
    told = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    bar = Progress(
        *told, console=console, transient=True, disable=not console.is_terminal, auto_refresh=False
    )
    first, began_s = next(done), time.monotonic()
    task, told_s = bar.add_task(unit, total=total, completed=first, pace=""), began_s
    with bar:
        for count in done:
            now_s = time.monotonic()
            if now_s - told_s < (REDRAW_S if console.is_terminal else LINE_S):
                continue
            told_s, rate = now_s, (count - first) / (now_s - began_s)
            pace = f"{rate:.3g}/s, {timedelta(seconds=round((total - count) / rate))} left"
            if console.is_terminal:
                bar.update(task, completed=count, pace=pace, refresh=True)
            else:
                print(f"chipvote: {count:,} of {total:,} {unit}, {pace}", file=sys.stderr, flush=True)
