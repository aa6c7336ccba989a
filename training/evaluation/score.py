"""A finished bundle on labelled chips: its label sets and their scores, without a server.

The graphs run in ONNX Runtime on the CPU and the service's own rule decides, so the label
sets are those that the service gives.

Shape suffixes: N chips, L labels.
"""

import logging
import tempfile
from pathlib import Path

import numpy as np

from service.contract.bundle import Bundle
from service.contract.manifest import Precision, Scores
from training.data.labels import multi_hot
from training.data.reading import read_chips, read_labels
from training.evaluation.inference import Predictor, tags_of, write_tags
from training.evaluation.metrics import measure, table
from training.run.folder import Source
from training.run.progress import SLICE, track

log = logging.getLogger(__name__)


def score(bundle: Bundle, source: Source, precision: Precision, out: Path | None = None) -> Scores:
    """Score a bundle on a folder of labelled chips, and optionally write its label sets.

    The scores are marked in-sample when these are the very chips the bundle was trained on,
    held-out otherwise; it cannot know of chips that are only partly the same.

    Args:
        bundle: a verified bundle.
        source: labelled chips.
        precision: which graphs to run.
        out: a CSV to write, `image_name,tags` with the tags that the bundle's rule set.

    Raises:
        ValueError: a chip is missing or unreadable, or a tag is no label of the bundle.
    """
    manifest = bundle.manifest
    tags = read_labels(source)
    unknown = sorted(set(tags.labels) - set(bundle.label_names))
    if unknown:
        raise ValueError(f"the bundle has no label {', '.join(unknown)}; rename or remove these tags")
    with tempfile.TemporaryDirectory() as scratch:
        chips = read_chips(source, manifest.input, Path(scratch), tags)
        starts = range(0, len(chips.chips_NHWC), SLICE)
        predictor = Predictor(bundle, precision)
        parts = [
            predictor(chips.chips_NHWC[start : start + SLICE])
            for start in track(starts, "run graphs", len(starts))
        ]
    labels_NL, probs_NL = (
        np.concatenate([getattr(part, field) for part in parts])
        for field in ("labels_BL", "probabilities_BL")
    )
    scores = measure(
        labels_NL,
        probs_NL,
        multi_hot(chips.tags.rows(), bundle.label_names),
        bundle.label_names,
        [label.group for label in manifest.labels],
        fitting="in-sample" if chips.digest == manifest.provenance.dataset_sha256 else "held-out",
    )
    log.info("%s", table(scores))
    if out:
        write_tags(out, zip(chips.tags.names, tags_of(labels_NL, bundle.label_names), strict=True))
    return scores
