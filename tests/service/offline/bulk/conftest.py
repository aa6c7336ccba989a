"""Forty chips in a folder: colours, a copy, one that is broken; with what they must be called."""

from pathlib import Path

import pytest

from tests.kit.fakes import BLUE, GREEN, RED, picture

COLOURS = {"reddish": RED, "greenish": GREEN, "bluish": BLUE}


@pytest.fixture(scope="session")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chips 00 to 38 by turns reddish, greenish and bluish, 39 as 38; 07 is broken."""
    folder = tmp_path_factory.mktemp("bulk") / "chips"
    (folder / "inside").mkdir(parents=True)
    colours = list(COLOURS.values())
    for index in range(39):
        red, green, blue = (level - index if level > 100 else level for level in colours[index % 3])
        name = f"inside/{index:02}.png" if index % 2 else f"{index:02}.png"
        picture((red, green, blue)).save(folder / name)
    (folder / "inside/07.png").write_bytes(b"broken")
    (folder / "inside/39.png").write_bytes((folder / "38.png").read_bytes())
    (folder / "notes.txt").write_text("no chip")
    (folder / ".hidden.png").write_bytes(b"no chip either")
    return folder
