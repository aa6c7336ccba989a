"""What a process of the pool does: items from a pipe → rows into it, until that is closed."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread

from service.contract.errors import StartupError
from service.offline.bulk.inputs import Item
from service.offline.bulk.scorer import Opening

_MESSAGE = 32  # rows sent back at once


def work(connection: Connection, opening: Opening) -> None:
    """Answer lists of items with lists of rows, in order; runs in a process of its own.

    Says `None` first, when it is ready, or the `StartupError` for which it is not.

    Args:
        connection: the pipe; the process ends when the other end is closed.
        opening: opens what answers.
    """
    try:
        scorer = opening()
    except StartupError as error:
        connection.send(error)
        return
    given: SimpleQueue[Sequence[Item]] = SimpleQueue()
    Thread(target=_receive, args=(connection, given), daemon=True).start()
    connection.send(None)
    while True:
        rows = scorer.rows(_items(given))
        while message := list(islice(rows, _MESSAGE)):
            connection.send(message)


def _receive(connection: Connection, given: SimpleQueue[Sequence[Item]]) -> None:
    """Take in whatever comes, so that the sender never waits; end with the sender."""
    try:
        while True:
            given.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def _items(given: SimpleQueue[Sequence[Item]]) -> Iterator[Item]:
    """Yield the items of one task, and of those that are there by then: networks do not wait."""
    yield from given.get()
    while not given.empty():
        yield from given.get()
