"""Paired rows → which labels appeared and disappeared, and which of that the members dispute.

Shape suffixes: N pairs, L labels that both layers have.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.answers.layers.errors import LayerError
from service.offline.changes.matching import Ints, Pairs, match
from service.offline.changes.reading import Layer

FAR_APART = 0.5  # probabilities of two members

Bools = npt.NDArray[np.bool_]


class Kind(StrEnum):
    """What happened at a place, as its colour tells it."""

    APPEARED = "appeared"
    DISAPPEARED = "disappeared"
    BOTH = "both"
    DISPUTED = "disputed"  # all that changed
    NONE = "none"


class Differences(NamedTuple):
    """What two layers say of the same ground."""

    before: Layer
    after: Layer
    pairs: Pairs
    labels: tuple[str, ...]
    before_NL: Bools  # label sets
    after_NL: Bools
    probs_before_NL: npt.NDArray[np.float64]
    probs_after_NL: npt.NDArray[np.float64]
    disputed_NL: Bools  # of what changed

    @property
    def appeared_NL(self) -> Bools:
        """Which labels are new."""
        return self.after_NL & ~self.before_NL

    @property
    def disappeared_NL(self) -> Bools:
        """Which labels are gone."""
        return self.before_NL & ~self.after_NL

    def kinds(self) -> list[Kind]:
        """Tell what happened at each place, by what nobody disputes, if there is such."""
        sure_NL = ~self.disputed_NL
        more = (self.appeared_NL & sure_NL).any(axis=1)
        less = (self.disappeared_NL & sure_NL).any(axis=1)
        kinds = [Kind.BOTH, Kind.APPEARED, Kind.DISAPPEARED, Kind.DISPUTED]
        numbers = np.select([more & less, more, less, self.disputed_NL.any(axis=1)], range(4), 4)
        return [[*kinds, Kind.NONE][number] for number in numbers]

    def remarks(self) -> list[str]:
        """Say what a reader must know: other bundles, other labels, rows left out."""
        before, after = self.before, self.after
        said = []
        if before.bundles != after.bundles:
            told = [" and ".join(layer.bundles) for layer in (before, after)]
            said.append(f"Not the same bundle answered: {told[0]} before, {told[1]} after.")
        for one, other in ((before, after), (after, before)):
            if lacking := [label for label in one.labels if label not in other.labels]:
                said.append(f"Only {one.name} has {', '.join(lacking)}: not compared.")
        for layer, paired in ((before, self.pairs.before), (after, self.pairs.after)):
            if alone := len(layer.keys) - len(np.unique(paired)):
                said.append(f"Rows of {layer.name} without a counterpart: {alone:,}.")
            if layer.failed:
                said.append(f"Rows of {layer.name} that are failures: {layer.failed:,}.")
        return said


def compare(before: Layer, after: Layer) -> Differences:
    """Compare two layers on the labels that both have.

    A change is disputed where, on either side of it, some but not all of the members that ran voted
    for the label; a layer does not tell weights, so each is taken to weigh 1. Of a rule that is no
    vote, where the members' probabilities lie `FAR_APART`, if the layer tells how far apart.

    Raises:
        LayerError: they have no label or no place in common.
    """
    labels = tuple(label for label in before.labels if label in after.labels)
    if not labels:
        raise LayerError(f"{before.name} and {after.name} have no label in common")
    pairs = match(before, after)
    before_NL, probs_before_NL, split_before_NL = _side(before, pairs.before, labels)
    after_NL, probs_after_NL, split_after_NL = _side(after, pairs.after, labels)
    disputed_NL = (before_NL ^ after_NL) & (split_before_NL | split_after_NL)
    sides = (before_NL, after_NL, probs_before_NL, probs_after_NL)
    return Differences(before, after, pairs, labels, *sides, disputed_NL)


def _side(layer: Layer, rows: Ints, labels: Sequence[str]) -> tuple[Bools, npt.NDArray[np.float64], Bools]:
    """Return label sets, probabilities, and where members disagree, of paired rows."""
    columns = [layer.labels.index(label) for label in labels]
    return (
        layer.predicted_NL[rows][:, columns],
        layer.probs_NL[rows][:, columns],
        _split(layer)[rows][:, columns],
    )


def _split(layer: Layer) -> Bools:
    """Tell on which labels of which rows the members disagree."""
    if layer.votes_NL.any():
        return np.asarray((layer.votes_NL > 0) & (layer.votes_NL < layer.members[:, None]))
    apart_N = layer.disagreement >= FAR_APART  # not where it is unknown
    return np.asarray(np.broadcast_to(apart_N[:, None], layer.votes_NL.shape))
