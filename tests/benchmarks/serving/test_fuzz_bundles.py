from benchmarks.serving.fuzz_bundles import fuzz
from service.contract.bundle import Bundle


def test_damaged_bundles_are_refused_in_one_sentence_each(colours: Bundle) -> None:
    found, slowest_s, _ = fuzz(colours.folder, 200, seed=1)
    assert sum(found.values()) == 200
    assert sum(count for (_, taken), count in found.items() if not taken) > 100
    assert slowest_s < 5
