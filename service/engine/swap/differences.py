"""How the label sets of one bundle differ from those of another, on the same chips.

Shape suffix: L labels.
"""

from collections.abc import Sequence

from service.client.schemas import Differences
from service.engine.verdict import Verdict


class Counted:
    """Counts chips, and for each label those that got it from one bundle alone."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._chips = self._different = 0
        self._added_L, self._removed_L = [0] * len(labels), [0] * len(labels)

    def count(self, served: Verdict, candidate: Verdict) -> list[tuple[str, str]]:
        """Count a chip that both answered; return what differs: (label, `added` or `removed`)."""
        self._chips += 1
        found = []
        for index, (before, after) in enumerate(zip(served.predicted, candidate.predicted, strict=True)):
            if before != after:
                change, counts_L = ("added", self._added_L) if after else ("removed", self._removed_L)
                counts_L[index] += 1
                found.append((self._labels[index], change))
        self._different += bool(found)
        return found

    @property
    def share(self) -> float:
        """The share of all decisions, one for each chip and label, that differ."""
        return sum(self._added_L + self._removed_L) / max(1, self._chips * len(self._labels))

    def told(self) -> Differences:
        """Return the counts; only labels that differ are listed."""
        changes = zip(self._labels, self._added_L, self._removed_L, strict=True)
        return Differences(
            chips=self._chips,
            different=self._different,
            labels=[
                {"label": label, "added": added, "removed": removed}
                for label, added, removed in changes
                if added or removed
            ],
        )
