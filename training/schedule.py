"""Learning-rate schedules, as the factor on the highest rate at a moment of a fit."""

import math
from typing import Literal

STEP_FACTOR = 0.1


def rate_factor(kind: Literal["step", "cosine"], epoch: float, epochs: int, warmup_epochs: int = 0) -> float:
    """Return the factor at a moment, counted in epochs.

    Args:
        kind: `step` divides by 10 at one third and again at two thirds of the epochs; `cosine`
            falls along half a wave from the end of the warm-up to 0 at the end.
        epoch: epochs done, 0..epochs, with a fraction inside an epoch.
        epochs: how many there will be.
        warmup_epochs: epochs in which the rate first rises evenly from 0.

    Source: He et al. 2019, "Bag of tricks for image classification" (warm-up, cosine).
    """
    if epoch < warmup_epochs:
        return epoch / warmup_epochs
    if kind == "step":
        return STEP_FACTOR ** (3 * int(epoch) // epochs)
    done = (epoch - warmup_epochs) / max(epochs - warmup_epochs, 1e-9)
    return (1 + math.cos(math.pi * min(done, 1.0))) / 2
