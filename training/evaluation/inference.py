"""A finished bundle's label sets without a server, and the file that holds them.

The graphs run in ONNX Runtime on the CPU and the service's own rule decides, so the label
sets are those that the service gives.

Shape suffixes: M members, B chips, L labels, H height, W width, C bands.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.contract.bundle import Bundle
from service.contract.decision import Decision
from service.contract.manifest import INPUT, PROBABILITIES, Pixel, Precision
from service.contract.onnx_runtime import needs_exact, open_session
from service.contract.processors import processors
from training.run.files import write_csv

BATCH = 16  # chips that a graph takes at once
COLUMNS = ("image_name", "tags")


class Predictor:
    """A bundle's graphs, loaded once for any number of chips."""

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        """Load the graphs of one precision."""
        self._bundle = bundle
        self._sessions = [
            open_session(
                bundle.graph_path(member, precision),
                threads=processors(),
                exact=needs_exact(member.graphs[precision].bounded, precision),
            )
            for member in bundle.manifest.members
        ]

    def __call__(self, chips_BHWC: npt.NDArray[Pixel]) -> Decision:
        """Answer chips as the bundle's input wants them; at least one."""
        members = range(len(self._sessions))
        return self._bundle.decider.decide(np.stack([self._run(member, chips_BHWC) for member in members]))

    def label_sets(self, chips_BHWC: npt.NDArray[Pixel]) -> npt.NDArray[np.bool_]:
        """Return the label sets (B,L) alone: in a vote, members stop once no label can change."""
        voter = self._bundle.early_voter
        if voter is None:
            return self(chips_BHWC).labels_BL
        return voter.decide(
            len(chips_BHWC), lambda member, rows: self._run(member, chips_BHWC[rows])
        ).labels_BL

    def _run(self, member: int, chips_BHWC: npt.NDArray[Pixel]) -> npt.NDArray[np.float32]:
        session = self._sessions[member]
        starts = range(0, len(chips_BHWC), BATCH)
        parts = [session.run([PROBABILITIES], {INPUT: chips_BHWC[at : at + BATCH]})[0] for at in starts]
        return np.concatenate(parts)


def choose_precision(bundle: Bundle, asked: str | None) -> Precision:
    """Return the asked precision, or the one that the service takes on a CPU.

    Raises:
        ValueError: the bundle does not have it.
    """
    choices = sorted(bundle.manifest.precisions, reverse=True)  # int8 first
    chosen = next((choice for choice in choices if asked in (None, choice)), None)
    if chosen is None:
        raise ValueError(f"{bundle.folder}: has {', '.join(choices)}, not {asked}")
    return chosen


def tags_of(labels_BL: npt.NDArray[np.bool_], names: Sequence[str]) -> list[list[str]]:
    """Return each row's label names in the bundle's order."""
    return [[names[column] for column in np.flatnonzero(labels_L).tolist()] for labels_L in labels_BL]


def write_tags(path: Path, rows: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Write names and tags as they come, in the layout that the trainer reads and Kaggle takes."""
    write_csv(path, COLUMNS, ((name, " ".join(tags)) for name, tags in rows))
