import asyncio
import re
import threading
import time

from service.engine.queue.workers import Worker


def test_a_thread_tells_how_long_it_has_been_at_a_piece_of_work() -> None:
    begun, end = threading.Event(), threading.Event()

    def work(worker: Worker) -> None:
        worker.begin()
        begun.set()
        end.wait(60)
        worker.rest()

    worker = Worker("engine-7", work)
    worker.start()
    assert begun.wait(60)
    time.sleep(0.05)
    assert worker.trouble(600) is None
    said = worker.trouble(0.01)
    assert said and re.fullmatch(r"engine-7 has been at one piece of work for \d+ s", said)
    end.set()
    asyncio.run(worker.ended())
    assert worker.trouble(0.01) is None  # it has ended as it should
