from pathlib import Path

import pytest

from service.contract.rules import Cooccurrence
from service.settings import Settings
from tests.kit.console import chipvote
from tests.kit.fakes import MAJORITY, make_bundle
from tests.kit.serving import serving
from tests.kit.swaps import contrary_members, make_versions


def test_serve_refuses_an_early_exit_that_the_rule_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    together = MAJORITY.model_copy(update={"cooccurrence": Cooccurrence(alone=(3,))})
    folder = make_bundle(tmp_path, rule=together).folder
    assert chipvote("serve", "--early-exit", "--port", "0", "--bundle", folder) == 1
    error = capsys.readouterr().err
    assert error.startswith("chipvote: CHIPVOTE_EARLY_EXIT=true: ") and "set it to false" in error


def test_swap_brings_in_another_bundle_tries_one_and_goes_back(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    make_versions(tmp_path, "1.0", "1.1")
    make_bundle(tmp_path / "2.0", version="2.0", members=contrary_members())
    update = {"bundle": tmp_path / "1.0", "bundles": tmp_path}
    with serving(settings.model_copy(update=update)) as client:

        def swap(*arguments: str | Path) -> tuple[int | str | None, list[list[str]], str]:
            status = chipvote("swap", *arguments, "--url", str(client.base_url))
            said = capsys.readouterr()
            rows = [line.split("│")[1:-1] for line in said.out.splitlines() if "│" in line]
            return status, [[cell.strip() for cell in row] for row in rows], said.err

        assert swap()[:2] == (0, [["1.0", "1.0", "answers"], ["1.1", "", ""], ["2.0", "", ""]])
        before = [["1.0", "1.0", "answered before"], ["2.0", "", ""]]
        assert swap("1.1")[:2] == (0, [["1.1", "1.1", "answers"], *before])
        assert swap("1.0")[1][0] == ["1.0", "1.0", "answers"]
        tried = swap("2.0", "--shadow", "0.5")
        assert tried[1][1] == ["2.0", "2.0", "is tried unseen"]
        assert swap("--end-shadow")[1] == [["1.0", "1.0", "answers"], ["1.1", "", ""], ["2.0", "", ""]]
        status, _, error = swap("none")
        assert status == 1
        assert error.count("\n") == 1 and "there is no bundle 'none'; there are: 1.0, 1.1, 2.0" in error
        make_bundle(tmp_path / "1.1", version="1.0")
        status, rows, error = swap("1.1")
        assert (status, rows[0][2]) == (1, "answers")
        assert "1.1 was refused: its version is 1.0, as of the bundle that answers" in error


def test_swap_says_what_goes_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert chipvote("swap", "--shadow", "0.5") == 2
    assert chipvote("swap", "1.0", "--end-shadow") == 2
    assert "--shadow needs a bundle's name" in capsys.readouterr().err
