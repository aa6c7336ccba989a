"""Notices a thread that hangs or has died: it would keep whoever waits for it for ever.

Knows threads, and nothing of what they do or of what is done about it.
"""

import asyncio
from collections.abc import Callable, Sequence

from service.engine.queue.workers import Worker

LONGEST_PAUSE_S = 1.0


async def watch(workers: Sequence[Worker], patience_s: float, tell: Callable[[str], None]) -> None:
    """Look at threads again and again; tell of the first trouble, once.

    Args:
        workers: the threads.
        patience_s: seconds at one piece of work after which a thread hangs.
        tell: gets what is wrong.
    """
    while True:
        await asyncio.sleep(min(LONGEST_PAUSE_S, patience_s / 4))
        if troubles := [said for worker in workers if (said := worker.trouble(patience_s))]:
            tell("; ".join(troubles))
            return
