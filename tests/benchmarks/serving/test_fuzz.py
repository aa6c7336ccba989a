import random

import pytest

from benchmarks.serving.fuzz import CODECS, SPEC, damaged, fuzz, with_checksums
from service.contract.chips.decode import decode_chip


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_files_end_no_reader_and_take_no_memory(codec: str) -> None:
    row = fuzz(codec, 400, seed=1).removeprefix(codec).replace(",", "").split()
    files, accepted, refused, ended, slowest_ms, before_mb, after_mb = map(float, row)
    assert files == accepted + refused == 400
    assert ended == 0
    assert slowest_ms < 5000
    assert after_mb - before_mb < 5


@pytest.mark.parametrize("codec", CODECS)
def test_the_whole_files_are_chips(codec: str) -> None:
    pictures = [decode_chip(data, SPEC).astype(int) for data in CODECS[codec]()]
    for picture_HWC in pictures[1:]:
        assert abs(picture_HWC - pictures[0]).mean() < 25


def test_damage_is_the_same_for_the_same_seed() -> None:
    (data, *_) = CODECS["PNG"]()
    first, second = (damaged(data, random.Random(3)) for _ in range(2))
    assert first == second != data
    assert with_checksums(data) == data
