import os
import sys
import threading
import time

import pytest

from service.engine.queue.workers import NICENESS, Worker


def test_a_thread_tells_how_long_it_has_been_at_a_piece_of_work() -> None:
    begun, end = threading.Event(), threading.Event()

    def work(worker: Worker) -> None:
        worker.begin()
        begun.set()
        end.wait(10)
        worker.rest()

    worker = Worker("engine-7", work)
    worker.start()
    assert begun.wait(10)
    time.sleep(0.05)
    assert worker.trouble(60) is None
    assert worker.trouble(0.01) == "engine-7 has been at one piece of work for 0 s"
    end.set()
    worker.join()
    assert worker.trouble(0.01) is None  # it has ended as it should


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is the whole process's elsewhere")
def test_threads_yield_to_the_first_one_also_when_they_start_others() -> None:
    found: list[int] = []

    def note(_: Worker) -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def start_another(worker: Worker) -> None:
        note(worker)
        other = Worker("engine-1", note)
        other.start()
        other.join()

    first = Worker("engine-0", start_another)
    first.start()
    first.join()
    own = os.getpriority(os.PRIO_PROCESS, os.getpid())
    assert found == [min(19, own + NICENESS)] * 2
