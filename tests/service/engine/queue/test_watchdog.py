import asyncio
import threading
from collections.abc import Callable

import pytest

from service.engine.queue.watchdog import watch
from service.engine.queue.workers import Worker


def told_of(work: Callable[[Worker], None], wait_s: float, patience_s: float = 0.2) -> list[str]:
    """What a watchdog tells of one thread in some time."""
    told: list[str] = []

    async def scenario() -> None:
        worker = Worker("engine-0", work)
        worker.start()
        watching = asyncio.create_task(watch([worker], patience_s, told.append))
        await asyncio.wait([watching], timeout=wait_s)
        watching.cancel()

    asyncio.run(scenario())
    return told


def test_a_thread_that_hangs_is_noticed() -> None:
    end = threading.Event()

    def hang(worker: Worker) -> None:
        worker.begin()
        end.wait(60)

    (said,) = told_of(hang, 60)
    end.set()
    assert said.startswith("engine-0 has been at one piece of work for ")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_noticed() -> None:
    def die(worker: Worker) -> None:
        raise SystemError("no way back")

    assert told_of(die, 60) == ["engine-0 has died"]


def test_a_thread_that_waits_works_in_short_pieces_or_has_ended_is_none() -> None:
    end, patience_s = threading.Event(), 1.0

    def go_on(worker: Worker) -> None:
        for _ in range(30):
            worker.begin()
            end.wait(patience_s / 20)
            worker.rest()
        end.wait(patience_s * 1.2)

    assert told_of(go_on, 3.3 * patience_s, patience_s) == []
    end.set()
