"""What an ensemble says about one chip: the engine's word, before it is put into an answer."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """What the ensemble says about one chip; each list is in the bundle's label order."""

    probabilities: list[float]  # what the rule believes, six decimals: in a vote, the mean of those that ran
    votes: list[int]  # weight of the members in favour that ran; 0 where the rule is no vote
    predicted: list[bool]
    members: int  # how many ran
    member_probabilities: list[list[float]] = []  # noqa: RUF012 - per label each member's; if all were to run
    evidence: list[list[list[float]] | None] = []  # noqa: RUF012 - per label the map of a predicted one
    warnings: list[str] = []  # noqa: RUF012 - what should be known of the chip itself, in sentences
    blank: float | None = None  # share of the chip that shows nothing; None: the bundle has no value for that
