"""Real processes, which die of black chips."""

import shutil
from pathlib import Path

import pytest

from service.contract.bundle import Bundle
from service.contract.errors import StartupError
from service.offline.bulk.errors import WorkersLost
from service.offline.bulk.inputs import Item, items
from service.offline.bulk.pool import Pool
from service.offline.bulk.rows import Row
from service.settings import Settings
from tests.kit.bulk import OpenDoomed, OpenFragile, opening
from tests.kit.fakes import BLACK, picture


@pytest.fixture
def listed(chips: Path) -> list[Item]:
    return list(items(str(chips)))


def expected(item: Item) -> bool:
    """Whether a chip is answered, and not with an error."""
    return not item.name.endswith("07.png")


def check(rows: list[Row], listed: list[Item]) -> None:
    assert [row.name for row in rows] == [item.name for item in listed]
    assert [row.verdict is not None for row in rows] == [expected(item) for item in listed]


def test_two_processes_answer_in_order_and_again(settings: Settings, listed: list[Item]) -> None:
    with Pool(opening(settings), 2, task=3) as pool:
        check(list(pool.rows(iter(listed))), listed)
        check(list(pool.rows(iter(listed[:5]))), listed[:5])
        assert list(pool.rows(iter([]))) == []


def test_a_chip_that_ends_processes_costs_no_other_chip(
    settings: Settings, chips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "chips"
    shutil.copytree(chips, folder)
    picture(BLACK).save(folder / "10.png")
    listed = list(items(str(folder)))
    with Pool(OpenFragile(settings), 1, task=16) as pool:
        rows = list(pool.rows(iter(listed)))
    failed = {row.name: row for row in rows if not row.verdict}
    assert [row.name for row in rows] == [item.name for item in listed]
    assert set(failed) == {"10.png", "inside/07.png"}
    assert "ended (exit status 9)" in failed["10.png"].reason


def test_a_process_that_dies_once_costs_nothing(settings: Settings, chips: Path, tmp_path: Path) -> None:
    shutil.copytree(chips, tmp_path / "chips")
    picture(BLACK).save(tmp_path / "chips" / "10.png")
    listed = list(items(str(tmp_path / "chips")))
    with Pool(OpenFragile(settings, tmp_path / "died"), 1) as pool:
        check(list(pool.rows(iter(listed))), listed)
    assert (tmp_path / "died").exists()


def test_a_process_that_never_begins_ends_the_run(listed: list[Item]) -> None:
    with (
        Pool(OpenDoomed(), 1) as pool,
        pytest.raises(WorkersLost, match=r"before it could answer \(exit status 3\)"),
    ):
        list(pool.rows(iter(listed)))


def test_a_bundle_that_cannot_be_used_says_why(
    colours: Bundle, settings: Settings, listed: list[Item], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(colours.folder, broken)
    (broken / "golden.npz").unlink()
    with (
        Pool(opening(settings.model_copy(update={"bundle": broken})), 1) as pool,
        pytest.raises(StartupError, match=r"golden\.npz"),
    ):
        list(pool.rows(iter(listed)))
