"""The console script, called as from a shell."""

from pathlib import Path

import pytest

from service import cli


def chipvote(*arguments: str | Path) -> int | str | None:
    """Run one command; return its exit status."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code
