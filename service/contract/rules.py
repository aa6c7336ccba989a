"""The decision as data: what `bundle.json` says about how label sets are found.

Each part holds a rule's numbers and builds the arithmetic of `decision.py` from them. Tuning
fills the same parts. Labels are columns, in the bundle's order.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.contract.decision import MAX_BLEND, Blender, Constrained, Decider, Maximizer, Voter

Unit = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
UnitRow = tuple[Unit, ...]
CountRow = tuple[Count, ...]


class Part(BaseModel):
    """Base of every part of the manifest: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Cooccurrence(Part):
    """What the training chips' labels never broke, kept by every label set."""

    exclusive: tuple[CountRow, ...] = ()  # groups of columns of which a chip has exactly one
    alone: CountRow = ()  # columns beside which there is nothing but their own group's label

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        columns = [column for group in self.exclusive for column in group]
        for name, found in (("exclusive", columns), ("alone", list(self.alone))):
            if len(set(found)) < len(found):
                raise ValueError(f"cooccurrence.{name} names a label twice: {found}")
        if any(len(group) < 2 for group in self.exclusive):
            raise ValueError("cooccurrence.exclusive has a group of fewer than two labels")
        return self


class _Rule(Part, ABC):
    cooccurrence: Cooccurrence = Cooccurrence()

    @property
    @abstractmethod
    def labels(self) -> int:
        """How many labels it decides."""

    @abstractmethod
    def check_shape(self, members: int, labels: int) -> None:
        """Refuse tables that do not fit so many members and labels.

        Raises:
            ValueError: names the table and the shape it must have.
        """

    @abstractmethod
    def _unconstrained(self) -> Decider: ...

    def decider(self) -> Decider:
        """Build the arithmetic."""
        exclusive, alone = self.cooccurrence.exclusive, self.cooccurrence.alone
        decider = self._unconstrained()
        return Constrained(decider, exclusive, alone, self.labels) if exclusive or alone else decider

    def label_thresholds(self, label: int) -> list[float]:
        """Return what a label's probabilities or score must reach; empty if nothing is compared."""
        return []

    def label_weights(self, label: int) -> list[int]:
        """Return the members' weights on a label; empty where members are not weighed."""
        return []

    def label_quorum(self, label: int) -> int | None:
        """Return the weight that sets a label; None where the rule is no vote."""
        return None

    def _check_columns(self, labels: int) -> None:
        columns = [c for group in (*self.cooccurrence.exclusive, self.cooccurrence.alone) for c in group]
        if columns and max(columns) >= labels:
            raise ValueError(f"cooccurrence names column {max(columns)}, there are {labels} labels")


class Vote(_Rule):
    """A label is set when the members that reach their own threshold weigh at least its quorum."""

    rule: Literal["vote"] = "vote"
    thresholds: tuple[UnitRow, ...]  # members × labels, float32 values
    weights: tuple[CountRow, ...]  # members × labels; 0: the member has no say on the label
    quorum: CountRow  # per label

    @property
    def labels(self) -> int:
        """How many labels it decides."""
        return len(self.quorum)

    def check_shape(self, members: int, labels: int) -> None:
        """Refuse tables of another shape, and a quorum that cannot be reached or missed."""
        _check("thresholds", self.thresholds, members=members, labels=labels)
        _check_weights(self.weights, members, labels)
        _check("quorum", self.quorum, labels=labels)
        for label, (quorum, *weights) in enumerate(zip(self.quorum, *self.weights, strict=True)):
            if not 1 <= quorum <= sum(weights):
                raise ValueError(f"quorum {quorum} of label {label} is not in 1..{sum(weights)}, its weight")
        self._check_columns(labels)

    def label_thresholds(self, label: int) -> list[float]:
        """Return a threshold per member."""
        return [row[label] for row in self.thresholds]

    def label_weights(self, label: int) -> list[int]:
        """Return a weight per member."""
        return [row[label] for row in self.weights]

    def label_quorum(self, label: int) -> int | None:
        """Return the label's quorum."""
        return self.quorum[label]

    def margin(self, votes: Sequence[int]) -> int:
        """Return the least weight that must change sides to turn any label's vote, 1 or more.

        Args:
            votes: of one chip, per label the weight in favour among all members.
        """
        return min([v - q + 1 if v >= q else q - v for v, q in zip(votes, self.quorum, strict=True)])

    def contested(self, votes: Sequence[int]) -> int:
        """Return on how many labels the members disagree; votes as in `margin`."""
        return sum([0 < v < total for v, total in zip(votes, self._totals, strict=True)])

    @cached_property
    def _totals(self) -> list[int]:
        return [sum(column) for column in zip(*self.weights, strict=True)]

    def _unconstrained(self) -> Decider:
        # float32: the thresholds that were tuned, bit for bit.
        return Voter(np.array(self.thresholds, np.float32), np.array(self.weights), np.array(self.quorum))


class Blend(_Rule):
    """A label is set when its score, linear in members' probabilities, reaches its threshold."""

    rule: Literal["blend"] = "blend"
    coefficients: tuple[tuple[tuple[float, ...], ...], ...]  # members × labels × labels: from, to
    intercepts: tuple[float, ...]  # per label
    thresholds: UnitRow  # per label, float32 values

    @property
    def labels(self) -> int:
        """How many labels it decides."""
        return len(self.thresholds)

    def check_shape(self, members: int, labels: int) -> None:
        """Refuse tables of another shape, and coefficients that float64 cannot sum exactly."""
        _check("coefficients", self.coefficients, members=members, labels=labels, scores=labels)
        _check("intercepts", self.intercepts, labels=labels)
        _check("thresholds", self.thresholds, labels=labels)
        largest = float((np.abs(self.coefficients).sum(axis=(0, 1)) + np.abs(self.intercepts)).max())
        if largest > MAX_BLEND:
            raise ValueError(
                f"a label's coefficients add up to {largest:.3g}, more than {MAX_BLEND:g}; shrink them more"
            )
        self._check_columns(labels)

    def label_thresholds(self, label: int) -> list[float]:
        """Return the one threshold, of the score."""
        return [self.thresholds[label]]

    def _unconstrained(self) -> Decider:
        thresholds_L = np.array(self.thresholds, np.float32)
        return Blender(np.array(self.coefficients), np.array(self.intercepts), thresholds_L)


class ExpectedF(_Rule):
    """The label set with the highest expected F-beta is set, by calibrated mean probabilities."""

    rule: Literal["expected-f"] = "expected-f"
    beta: float = Field(gt=0)
    weights: tuple[CountRow, ...]  # members × labels, in the mean; 0: the member has no say
    knots: tuple[tuple[tuple[Unit, Unit], ...], ...]  # per label: mean probability → calibrated

    @property
    def labels(self) -> int:
        """How many labels it decides."""
        return len(self.knots)

    def check_shape(self, members: int, labels: int) -> None:
        """Refuse tables of another shape, and calibrations that fall."""
        _check_weights(self.weights, members, labels)
        _check("knots", self.knots, labels=labels)
        for label, knots in enumerate(self.knots):
            steps = np.diff(np.array(knots).reshape(-1, 2), axis=0)
            if not knots or not (steps[:, 0] > 0).all() or not (steps[:, 1] >= 0).all():
                raise ValueError(f"knots of label {label} must be there and rise")
        self._check_columns(labels)

    def label_weights(self, label: int) -> list[int]:
        """Return a weight per member, in the mean."""
        return [row[label] for row in self.weights]

    def _unconstrained(self) -> Decider:
        knots = [(np.array([x for x, _ in row]), np.array([y for _, y in row])) for row in self.knots]
        return Maximizer(np.array(self.weights), knots, self.beta)


Rule = Annotated[Vote | Blend | ExpectedF, Field(discriminator="rule")]


def _check_weights(weights: tuple[CountRow, ...], members: int, labels: int) -> None:
    _check("weights", weights, members=members, labels=labels)
    for label, column in enumerate(zip(*weights, strict=True)):
        if not any(column):
            raise ValueError(f"no member has a say on label {label}; give one a weight")


def _check(name: str, table: tuple[Any, ...], **shape: int) -> None:
    """Refuse nested tuples of another shape, ragged ones too."""
    rows: list[tuple[Any, ...]] = [table]
    for axis, size in shape.items():
        for row in rows:
            if len(row) != size:
                wanted = " × ".join(f"{count} {what}" for what, count in shape.items())
                raise ValueError(f"{name} must be {wanted}, found {len(row)} {axis}")
        rows = [inner for row in rows for inner in row]
