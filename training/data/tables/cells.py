"""One cell of a table → the labels in it, or the reason why that cannot be told."""

import csv
from typing import Any

OTHER_SEPARATORS = ",;|/"  # where blanks separate; one label of several words may hold / and ,
NEVER_IN_A_LABEL = ";|"
NOTHING = {"", "nan", "none", "null", "n/a", "na", "<na>", "#n/a"}  # how programs write an empty cell
QUOTES = "\"'“”‘’`"
BRACKETS = "[](){}"


def labels_of(cell: Any, separator: str | None) -> list[str]:  # noqa: ANN401 — see `Cell`
    """Return a cell's labels, in its order.

    Args:
        cell: text, or a list of labels.
        separator: what stands between labels in text; None: blanks, and nothing that looks like
            another separator or a quote may be there.

    Raises:
        ValueError: says what is in the cell and how it should be.
    """
    if cell is None:
        raise ValueError('is null; write "" or [] for a chip without labels')
    if isinstance(cell, list | tuple):
        for label in cell:
            if isinstance(label, bool) or not isinstance(label, str | int):
                raise ValueError(f"{label!r:.60} in a list is no label; write a list of names")
        return [str(label).strip() for label in cell]
    if isinstance(cell, bool):
        raise ValueError(f"{cell} is no label; write the labels' names")
    text = str(cell).strip()
    if text and text.casefold() in NOTHING:
        raise ValueError(f"{text!r} is how programs write an empty cell; leave the cell empty")
    if text[:1] in ("[", "(", "{") and text[-1] in "])}":
        raise ValueError(
            f"{text!r:.60} has brackets, as printed lists have; write road;water and declare --separator ';'"
        )
    return _blank_separated(text) if separator is None else _separated(text, separator)


def check_separator(separator: str | None) -> None:
    """Refuse what cannot separate labels.

    Raises:
        ValueError: it is not one character, or one that labels are made of.
    """
    if separator is not None and (len(separator) != 1 or separator.isalnum() or separator in QUOTES + "-_"):
        raise ValueError(f"--separator {separator!r}: must be one character, such as ';' '|' ',' or ' '")


def _blank_separated(text: str) -> list[str]:
    found = [char for char in OTHER_SEPARATORS if char in text]
    if len(found) > 1:
        raise ValueError(f"{text!r:.60} has {' and '.join(map(repr, found))}; use one separator everywhere")
    if found:
        one = f", or --separator ' ' if {found[0]!r} is a part of labels" if found[0] == "/" else ""
        raise ValueError(
            f"separate tags by spaces, not by {found[0]!r} as in {text!r:.60}; "
            f"or declare it with --separator '{found[0]}'{one}"
        )
    labels = text.split()
    for label in labels:
        if label[0] in QUOTES or label[-1] in QUOTES:
            raise ValueError(
                f"{text!r:.60} has quotes; remove them, or, where they hold several words together, "
                "use double quotes and declare --separator ' '"
            )
        if label[0] in BRACKETS or label[-1] in BRACKETS:
            raise ValueError(f"{text!r:.60} has brackets; remove them")
    return labels


def _separated(text: str, separator: str) -> list[str]:
    other = [char for char in NEVER_IN_A_LABEL if char != separator and char in text]
    if other:
        raise ValueError(
            f"{text!r:.60} has {other[0]!r}, but --separator is {separator!r}; use one everywhere"
        )
    reader = csv.reader([text], delimiter=separator, skipinitialspace=True)
    labels = [label.strip() for label in next(reader, []) if label.strip()]
    for label in labels:
        if label[0] in QUOTES or label[-1] in QUOTES:
            raise ValueError(f"{label!r:.60} has quotes; use double quotes around a whole label, or none")
    return labels
