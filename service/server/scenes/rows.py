"""A scene's windows → lines of the answer: labelled, skipped or failed, in order, as they come.

A bounded number of windows is with the engine, in the scene's own line of the fair queue, and no
more are read than that: a client that takes its lines slowly slows the reading, too.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from service.answers.predictions import model, prediction, problem
from service.client.schemas import (
    FailedWindow,
    LabelledWindow,
    SceneCounts,
    SceneCut,
    SceneDone,
    SceneRow,
    SceneStart,
    SkippedWindow,
)
from service.contract.errors import ChipError, ClientGone, NotReady, ServiceError
from service.engine.queue.ticket import Ticket
from service.engine.served import Served
from service.scenes.errors import Skipped
from service.server.logs import notes
from service.server.problems import explained
from service.server.scenes.reader import SceneReader, Seen

Line = SceneStart | SceneRow | SceneDone | SceneCut


class Rows:
    """The lines of one scene's answer."""

    def __init__(
        self,
        reader: SceneReader,
        served: Served,
        ticket: Ticket,
        *,
        members: bool,
        within_s: float,
        most: int,
    ) -> None:
        """Prepare.

        Args:
            reader: of the scene.
            served: answers.
            ticket: for all windows.
            members: tell also every member's own probabilities.
            within_s: seconds in which a window must be answered, from when it got its place.
            most: windows read and not yet answered.
        """
        self._reader, self._served, self._ticket = reader, served, ticket
        self._members, self._within_s, self._most = members, within_s, most
        self._note = notes.current()
        self._counts = SceneCounts(windows=0, labelled=0, skipped=0, failed=0)

    def give_up(self) -> None:
        """Stop all work: nobody is there any more."""
        self._ticket.end(ClientGone("the client has gone"))
        self._reader.stop()

    async def lines(self) -> AsyncGenerator[Line, None]:
        """Yield all lines; the last one tells how it ended."""
        yield SceneStart(model=model(self._served.bundle), scene=self._reader.scene)
        try:
            async with aclosing(self._rows()) as rows:
                async for row in rows:
                    self._count(row)
                    yield row
            yield SceneDone(done=self._counts)
        except Exception as error:
            yield SceneCut(error=problem(explained(error)))

    async def _rows(self) -> AsyncGenerator[SceneRow, None]:
        under_way: asyncio.Queue[asyncio.Task[SceneRow] | None] = asyncio.Queue()
        room = asyncio.Semaphore(self._most)

        async def read() -> None:
            try:
                async for seen in self._reader.windows():
                    await room.acquire()
                    under_way.put_nowait(asyncio.create_task(self._row(seen)))
            finally:
                under_way.put_nowait(None)

        reading = asyncio.create_task(read())
        try:
            while task := await under_way.get():
                yield await task
                room.release()
            await reading
        finally:
            left: list[asyncio.Task[Any]] = [reading]
            while not under_way.empty():
                if task := under_way.get_nowait():
                    left.append(task)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _row(self, seen: Seen) -> SceneRow:
        window, footprint = seen.window, seen.footprint
        if isinstance(seen.chip, Skipped):
            self._ticket.skip()
            return SkippedWindow(window=window, footprint=footprint, skipped="nodata")
        try:
            if isinstance(seen.chip, ServiceError):
                self._ticket.skip()
                if isinstance(seen.chip, ChipError):
                    self._served.count_refused(seen.chip)
                raise seen.chip
            verdict = await self._served.vote_on(self._ticket, seen.chip, self._members, self._within_s)
        except (ClientGone, NotReady):  # the end of all of it
            raise
        except Exception as error:
            return FailedWindow(window=window, footprint=footprint, error=problem(explained(error)))
        told = prediction(None, verdict, self._served.bundle, members=self._members)
        labelled = LabelledWindow(
            window=window,
            footprint=footprint,
            labels=told["labels"],
            scores=told["scores"],
            members=told["members"],
        )
        if "nodata_share" in told:
            labelled["nodata_share"] = told["nodata_share"]
        return labelled

    def _count(self, row: SceneRow) -> None:
        counts = self._counts
        counts["windows"] += 1
        counts["labelled" if "labels" in row else "skipped" if "skipped" in row else "failed"] += 1
        self._note.chips, self._note.failed = counts["labelled"] + counts["failed"], counts["failed"]
