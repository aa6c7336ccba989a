"""A worker in a process of its own, and the other end of its pipe here."""

import multiprocessing
from pathlib import Path

from service.contract.errors import StartupError
from service.offline.bulk.inputs import items
from service.offline.bulk.worker import work
from service.settings import Settings
from tests.kit.bulk import opening


def test_a_worker_answers_all_it_is_given_and_ends_with_its_pipe(settings: Settings, chips: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    here, there = spawned.Pipe()
    process = spawned.Process(target=work, args=(there, opening(settings)))
    process.start()
    there.close()
    assert here.recv() is None
    listed = list(items(str(chips)))
    for few in (listed[:25], listed[25:], listed[:1]):
        here.send(few)
    names: list[str] = []
    while len(names) < 41:
        names += [row.name for row in here.recv()]
    assert names == [item.name for item in [*listed, listed[0]]]
    here.close()
    process.join(60)
    assert process.exitcode == 0


def test_a_worker_that_cannot_begin_says_why(settings: Settings, tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    work(there, opening(settings.model_copy(update={"bundle": tmp_path})))
    refused = here.recv()
    assert isinstance(refused, StartupError) and "bundle.json" in str(refused)
    here.close()
    there.close()
