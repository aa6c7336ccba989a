"""When a chip passed from one stage to the next, noted only for who collects it.

Whoever traces a request collects the stages of its chips; for all others a chip has none, which
costs a look. Threads enter stages, one after the other for each chip. Knows no traces.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter


class Stages:
    """The stages of one chip and when they began, in seconds of `time.perf_counter`."""

    __slots__ = ("entered",)

    def __init__(self) -> None:
        self.entered: list[tuple[str, float]] = []

    def enter(self, stage: str) -> None:
        """Note that a stage begins now, and that the one before ends; "" is none."""
        self.entered.append((stage, perf_counter()))


_COLLECTED: ContextVar[list[Stages] | None] = ContextVar("stages", default=None)


@contextmanager
def collected() -> Iterator[list[Stages]]:
    """Collect the stages of all chips that this task, and tasks that it makes, ask answers for."""
    found: list[Stages] = []
    token = _COLLECTED.set(found)
    try:
        yield found
    finally:
        _COLLECTED.reset(token)


def of_chip() -> Stages | None:
    """Return what notes the stages of one more chip; None where nobody collects them."""
    found = _COLLECTED.get()
    if found is None:
        return None
    found.append(Stages())
    return found[-1]


def spans(chips: list[Stages], end_s: float) -> dict[str, tuple[float, float]]:
    """Return when each stage began for the first chip in it, and ended for the last.

    Args:
        chips: the stages of some chips.
        end_s: when a stage ends that no other one follows.
    """
    found: dict[str, tuple[float, float]] = {}
    for chip in chips:
        ends_s = [began_s for _, began_s in chip.entered[1:]] + [end_s]
        for (stage, began_s), ended_s in zip(chip.entered, ends_s, strict=True):
            if stage:
                first_s, last_s = found.get(stage, (began_s, ended_s))
                found[stage] = min(first_s, began_s), max(last_s, ended_s)
    return found
