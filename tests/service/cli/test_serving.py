from pathlib import Path

import pytest

from service.contract.rules import Cooccurrence
from tests.kit.console import chipvote
from tests.kit.fakes import (
    MAJORITY,
    make_bundle,
)


def test_serve_refuses_an_early_exit_that_the_rule_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    together = MAJORITY.model_copy(update={"cooccurrence": Cooccurrence(alone=(3,))})
    folder = make_bundle(tmp_path, rule=together).folder
    assert chipvote("serve", "--early-exit", "--port", "0", "--bundle", folder) == 1
    error = capsys.readouterr().err
    assert error.startswith("chipvote: CHIPVOTE_EARLY_EXIT=true: ") and "set it to false" in error
