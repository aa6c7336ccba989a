import random

from benchmarks.harness.damage import CODECS, damaged, with_checksums


def test_damage_is_the_same_for_the_same_seed() -> None:
    (data, *_) = CODECS["PNG"]()
    first, second = (damaged(data, random.Random(3)) for _ in range(2))
    assert first == second != data
    assert with_checksums(data) == data
