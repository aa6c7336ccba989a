import pytest

from benchmarks.harness.damage import CODECS
from benchmarks.serving.fuzz import MOST_S, SPEC, fuzz
from service.contract.chips.decode import decode_chip


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_files_end_no_reader_and_take_no_memory(codec: str) -> None:
    found = fuzz(codec, 400, seed=1)
    assert found.files == 400
    assert 0 <= found.accepted <= 400
    assert found.ended == 0
    assert found.slowest_s < MOST_S
    assert found.after_mb - found.before_mb < 5
    assert found.peak_mb >= found.before_mb


@pytest.mark.parametrize("codec", CODECS)
def test_the_whole_files_are_chips(codec: str) -> None:
    pictures = [decode_chip(data, SPEC).astype(int) for data in CODECS[codec]()]
    for picture_HWC in pictures[1:]:
        assert abs(picture_HWC - pictures[0]).mean() < 25
