import numpy as np

from service.cuda import pad, padded


def test_pad_keeps_the_chips_and_adds_black() -> None:
    assert [padded(count) for count in (1, 2, 3, 4, 5, 32)] == [1, 2, 4, 4, 8, 32]
    chips_BHWC = np.ones((3, 2, 2, 3), np.uint8)
    assert pad(chips_BHWC).sum(axis=(1, 2, 3)).tolist() == [12, 12, 12, 0]
    assert pad(chips_BHWC.astype(np.uint16)).dtype == np.uint16
