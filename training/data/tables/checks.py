"""What was read, told in numbers; and what in it nobody can have meant."""

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from training.data.labels import Tags, as_word, multi_hot
from training.data.tables.cells import NOTHING
from training.data.tables.columns import Labelled

log = logging.getLogger(__name__)

SHOWN = 10


def checked(path: Path, rows: Sequence[Labelled], between: str | None) -> Tags:
    """Turn rows into tags with labels of one word each, and log their number and what is odd.

    Args:
        path: the table, for messages.
        rows: its rows.
        between: what separated labels in text; None where they were in no text.

    Raises:
        ValueError: a chip is there twice, labels differ by case or punctuation alone, or there is
            no label; names the places and the fix.
    """
    _refuse_repeated(rows)
    counts = Counter(label for row in rows for label in set(row.labels))
    if not counts:
        raise ValueError(f"{path}: no row has a tag")
    words = _words(rows, counts)
    labels = sorted(words.values())
    targets_NL = multi_hot([[words[label] for label in row.labels] for row in rows], labels)
    tags = Tags([row.name for row in rows], labels, targets_NL)
    _tell(path, tags, words)
    _warn(rows, counts, tags, between)
    return tags


def _refuse_repeated(rows: Sequence[Labelled]) -> None:
    first: dict[str, str] = {}
    for where, name, _ in rows:
        if name in first:
            raise ValueError(
                f"{where}: {name!r} is there twice; keep one row, with all its tags "
                f"(the first is {first[name]})"
            )
        first[name] = where


def _words(rows: Sequence[Labelled], counts: Counter[str]) -> dict[str, str]:
    """Return the word for each label.

    Raises:
        ValueError: two labels differ so little that one is probably meant, or one is no word.
    """
    for label in counts:
        if as_word(label).casefold() in NOTHING:
            where = next(row.where for row in rows if label in row.labels)
            raise ValueError(f"{where}: the label {label!r} means nothing to programs; remove or rename it")
    alike = defaultdict(list)
    for label in counts:
        alike[as_word(label).casefold()].append(label)
    for labels in alike.values():
        if len(labels) > 1:
            rare = min(labels, key=lambda label: counts[label])
            where = next(row.where for row in rows if rare in row.labels)
            written = " and ".join(f"{label!r} ({counts[label]} rows)" for label in labels)
            raise ValueError(f"{where}: {written} are written nearly alike; write one label in one way")
    return {label: as_word(label) for label in counts}


def _tell(path: Path, tags: Tags, words: dict[str, str]) -> None:
    counts = zip(tags.labels, tags.targets_NL.sum(axis=0).tolist(), strict=True)
    named = ", ".join(f"{label} {count}" for label, count in sorted(counts, key=lambda pair: -pair[1]))
    without = int((~tags.targets_NL.any(axis=1)).sum())
    log.info("%s: %d chips, %d labels: %s", path, len(tags.names), len(tags.labels), named)
    log.info("%s: %s", path, f"{without} chips without labels" if without else "every chip has a label")
    changed = [f"{label!r} → {word}" for label, word in words.items() if label != word]
    if changed:
        log.info("labels are written as one word: %s", ", ".join(changed))


def _warn(rows: Sequence[Labelled], counts: Counter[str], tags: Tags, between: str | None) -> None:
    once = {label for label, count in counts.items() if count == 1}
    if once:
        places = [f"{label!r} ({row.where})" for row in rows for label in row.labels if label in once]
        log.warning("labels that occur once; are they misspelt? %s", _some(places))
    if all(label.isdigit() for label in counts):
        log.warning("all labels are numbers: %s; write what they stand for", _some(tags.labels))
    if between not in (None, " ") and all(len(row.labels) < 2 for row in rows):
        log.warning("no row has two labels, as if %r separated nothing; check --separator", between)
    if between == " ":
        _warn_of_pairs(tags)


def _warn_of_pairs(tags: Tags) -> None:
    """Name labels that only come together: probably one label of several words."""
    together = defaultdict(list)
    for label, target_N in zip(tags.labels, tags.targets_NL.T, strict=True):
        together[target_N.tobytes()].append(label)
    for labels in together.values():
        if len(labels) > 1:
            log.warning(
                "%s always come together; if they are one label of several words, separate labels by another "
                "character and declare it: --separator ';'",
                " and ".join(labels),
            )


def _some(items: Sequence[str]) -> str:
    return ", ".join(items[:SHOWN]) + (", …" if len(items) > SHOWN else "")
