"""Items → rows in order, by processes of this machine that stay.

A process that dies of what it is given is replaced, and what it had is given once more; if that
dies too, it is given chip by chip, so that the one chip it dies of gets an error and no other does.
Knows no bundle: what the processes do is handed to it.
"""

import logging
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from service.contract.errors import ChipError, StartupError
from service.offline.bulk.errors import WorkersLost
from service.offline.bulk.inputs import Item
from service.offline.bulk.rows import Row
from service.offline.bulk.scorer import Opening
from service.offline.bulk.worker import work

logger = logging.getLogger("chipvote")

TASK = 256  # inputs given to a process at once
_AHEAD = 2  # tasks that a process has: one that runs, one that waits
_CAREFUL = 2  # deaths of a task, from which on it is given chip by chip
MOST_DEATHS = 20  # one after the other, without a row between them
END_S = 5.0


@dataclass
class _Task:
    """Inputs, as far as they are answered."""

    items: Sequence[Item]
    rows: list[Row] = field(default_factory=list)
    taken: int = 0  # rows that were passed on
    deaths: int = 0

    @property
    def done(self) -> bool:
        return len(self.rows) == len(self.items)

    @property
    def careful(self) -> bool:
        return self.deaths >= _CAREFUL

    def next(self) -> Sequence[Item]:
        """What is to be given now."""
        return self.items[len(self.rows) :][: 1 if self.careful else None]

    def take(self) -> Sequence[Row]:
        """The rows that have come since the last time."""
        fresh = self.rows[self.taken :]
        self.taken = len(self.rows)
        return fresh


class _Worker:
    """One process, the pipe to it, and what it was given."""

    def __init__(self, opening: Opening) -> None:
        spawned = multiprocessing.get_context("spawn")  # threads and ONNX Runtime do not outlive a fork
        self.connection, other = spawned.Pipe()
        self.process: BaseProcess = spawned.Process(target=work, args=(other, opening), daemon=True)
        # A terminal's Ctrl-C is for this process, which ends the others.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other.close()
        self.tasks: deque[_Task] = deque()
        self.ready = False

    def takes(self) -> bool:
        """Whether it can have another task now."""
        return len(self.tasks) < _AHEAD and not any(task.careful for task in self.tasks)

    def end(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join(END_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


class Pool:
    """Processes that answer. A context manager: its end is theirs."""

    def __init__(self, opening: Opening, processes: int, task: int = TASK) -> None:
        """Start them.

        Args:
            opening: called in each process, of which it then is the scorer.
            processes: how many.
            task: inputs given to a process at once.
        """
        self._opening, self._task, self._most = opening, task, _AHEAD * processes + 1
        self._workers = [_Worker(opening) for _ in range(processes)]
        self._again: deque[_Task] = deque()
        self._deaths = 0  # since the last row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()

    def rows(self, items: Iterator[Item]) -> Iterator[Row]:
        """Yield a row for each item, in order.

        Raises:
            StartupError: the bundle cannot be used; says why, and the fix.
            WorkersLost: processes end whatever they are given.
        """
        pending: deque[_Task] = deque()
        while True:
            self._hand_out(items, pending)
            if not pending:
                return
            if not pending[0].done:
                self._listen()
            while pending:
                yield from pending[0].take()
                if not pending[0].done:
                    break
                pending.popleft()

    def _hand_out(self, items: Iterator[Item], pending: deque[_Task]) -> None:
        for _ in range(_AHEAD):  # by turns, so that the last tasks are shared out
            for worker in self._workers:
                if not worker.takes():
                    continue
                if self._again:
                    if self._again[0].careful and worker.tasks:
                        continue  # or it might be blamed for what another task did
                    task = self._again.popleft()
                elif len(pending) < self._most and (some := list(islice(items, self._task))):
                    pending.append(task := _Task(some))
                else:
                    return
                worker.tasks.append(task)
                self._send(worker, task)

    def _send(self, worker: _Worker, task: _Task) -> None:
        try:
            worker.connection.send(task.next())
        except OSError:  # it died, which `_listen` finds when it reads
            logger.debug("process %s is gone", worker.process.pid)

    def _listen(self) -> None:
        """Wait for processes to say something, and take it."""
        connections: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(connections)):
            worker = connections[connection]
            try:
                said = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker)
            else:
                self._take(worker, said)

    def _take(self, worker: _Worker, said: list[Row] | StartupError | None) -> None:
        if isinstance(said, StartupError):
            raise said
        if said is None:
            worker.ready = True
            return
        self._deaths = 0
        for row in said:
            task = worker.tasks[0]
            task.rows.append(row)
            if task.done:
                worker.tasks.popleft()
            elif task.careful:
                self._send(worker, task)

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        how = _ended(worker.process.exitcode)
        self._deaths += 1
        if not worker.ready or self._deaths > MOST_DEATHS:
            when = "before it could answer" if not worker.ready else "again and again, whatever it is given"
            raise WorkersLost(
                f"a process that labels ended {when} ({how}); give it more memory, or fewer --processes"
            )
        for task in worker.tasks:
            if task.careful:
                item = task.items[len(task.rows)]
                logger.warning("%s: the process that labels ended of it (%s)", item.name, how)
                reason = f"the process that read it ended ({how}); look at the file with another program"
                task.rows.append(Row(item.name, item.address, title=ChipError.title, reason=reason))
            task.deaths += 1
        left = [task for task in worker.tasks if not task.done]
        logger.info("a process that labels ended (%s); another takes its place", how)
        self._again.extend(left)
        worker.end()
        self._workers[self._workers.index(worker)] = _Worker(self._opening)


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}" + (
            ", as when memory is short" if -code == signal.SIGKILL else ""
        )
    return f"exit status {code}"
