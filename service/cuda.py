"""The members on an NVIDIA GPU.

Shape suffixes: B chips, H height, W width, C bands, L labels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.bundle import Pixel


class CudaRunner:
    """Sessions whose batches are padded to few sizes."""

    def __init__(self, sessions: Sequence[ort.InferenceSession]) -> None:
        """Take the members' sessions."""
        self._sessions = sessions

    def load(self, chips_BHWC: npt.NDArray[Pixel]) -> None:
        """Take the chips that the next runs are about."""
        self._count, self._chips_BHWC = len(chips_BHWC), pad(chips_BHWC)

    def run(self, member: int) -> npt.NDArray[np.float32]:
        """Run one member on the loaded chips: float32 (B,L)."""
        probs_BL = self._sessions[member].run(["probabilities"], {"chips": self._chips_BHWC})[0]
        return np.asarray(probs_BL[: self._count])

    def warm_up(self, shape_HWC: tuple[int, int, int], dtype: str, max_batch: int) -> None:
        """Run every batch size that `pad` makes."""
        for size in sorted({padded(count) for count in range(1, max_batch + 1)}):
            self.load(np.zeros((size, *shape_HWC), dtype))
            for member in range(len(self._sessions)):
                self.run(member)


def padded(count: int) -> int:
    """Return the next power of two."""
    return 1 << (count - 1).bit_length()


def pad(chips_BHWC: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
    """Fill a batch up with black chips to the next power of two.

    cuDNN searches its convolutions anew for every batch size it meets: let it meet few.
    """
    extra = padded(len(chips_BHWC)) - len(chips_BHWC)
    return np.pad(chips_BHWC, ((0, extra), (0, 0), (0, 0), (0, 0)))
