import re

from service.offline.changes.differences import Kind
from service.offline.changes.look import LOOKS, STYLE


def test_every_kind_has_a_colour_of_its_own() -> None:
    assert list(LOOKS) == list(Kind)
    assert len({look.colour for look in LOOKS.values()}) == len(Kind)


def test_the_style_sheet_asks_for_nothing_elsewhere() -> None:
    assert not re.search(r"url\(|@import|http", STYLE)
