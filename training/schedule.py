"""Learning-rate schedules, as the factor on the initial rate at an epoch."""

STEP_FACTOR = 0.1


def step_at_thirds(epoch: int, epochs: int) -> float:
    """Divide by 10 at one third and again at two thirds of the epochs.

    Args:
        epoch: 0-based.
        epochs: how many there will be.
    """
    return STEP_FACTOR ** (3 * epoch // epochs)
