import hashlib
from pathlib import Path

import numpy as np

from service.contract.bundle import Bundle
from service.contract.errors import NoChip, NotAnImage
from service.engine.verdict import Verdict
from service.offline.bulk import reading
from service.offline.bulk.copies import Copies
from service.offline.bulk.inputs import Item, items
from service.offline.bulk.rows import Row
from service.settings import Settings
from tests.kit.fakes import RED, SIZE_PX


def test_inputs_are_decoded_in_order_with_their_digests(
    colours: Bundle, settings: Settings, chips: Path
) -> None:
    listed = list(items(str(chips)))
    found = list(reading.chips(listed, colours.manifest.input, settings))
    assert [each.item for each, _ in found] == listed
    data = (chips / "00.png").read_bytes()
    assert found[0][0].digest == hashlib.blake2b(data, digest_size=16).hexdigest()
    np.testing.assert_array_equal(found[0][1], np.full((SIZE_PX, SIZE_PX, 3), RED, np.uint8))


def test_what_gives_no_chip_gives_its_error(colours: Bundle, settings: Settings, chips: Path) -> None:
    listed = [
        Item("missing.png", str(chips / "missing.png")),
        Item("07.png", str(chips / "inside/07.png")),
        Item("row 3", "", fault="row 3 of the list names no chip"),
    ]
    errors = [chip for _, chip in reading.chips(listed, colours.manifest.input, settings)]
    assert [type(error) for error in errors] == [NoChip, NotAnImage, NoChip]
    assert [str(error)[:20] for error in errors] == [
        "the file cannot be r",
        "the bytes start with",
        "row 3 of the list na",
    ]


def test_what_was_answered_before_is_not_decoded(
    colours: Bundle, settings: Settings, chips: Path, tmp_path: Path
) -> None:
    (item,) = items(str(chips / "00.png"))
    digest = hashlib.blake2b((chips / "00.png").read_bytes(), digest_size=16).hexdigest()
    copies = Copies(tmp_path / "copies")
    verdict = Verdict([0.5], [1], [True], 3)
    copies.marked(Row("first.png", "/first.png", digest, verdict))
    ((found, chip),) = reading.chips([item], colours.manifest.input, settings, copies)
    assert isinstance(chip, reading.Known)
    assert found.first and (found.first.name, found.first.verdict) == ("first.png", verdict)
    copies.close()
