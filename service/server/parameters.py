"""Query string and headers of a prediction → what its answer should tell, in which form and when.

Documents the same parameters for OpenAPI. Knows names and values; nothing of how they are met.
"""

import math
import re
from collections import Counter
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args

from fastapi import Query
from starlette.datastructures import QueryParams
from starlette.requests import Request

from service.contract.errors import InvalidParameter

Format = Literal["json", "png"]


class PredictOptions(NamedTuple):
    """What an answer should tell beyond label sets and scores."""

    members: bool = False
    evidence: bool = False
    footprint: bool = False
    format: Format = "json"
    label: str | None = None
    version: str | None = None

    @property
    def explain(self) -> bool:
        """Whether all members have to run, with their evidence."""
        return self.members or self.evidence


_FLAGS = {
    "members": "Tell every member's own probability of every label; all members run.",
    "evidence": "Tell where each predicted label's evidence lies on the chip; all members run.",
    "footprint": "Tell where the chip lies: a GeoJSON geometry in longitude and latitude; null for what is "
    "no GeoTIFF with an EPSG code.",
}
_FORMAT = "With `evidence=true` and a single chip, `png` answers a picture: the evidence over the chip."
VERSION = (
    "Be answered by this version of the bundle, which must be loaded; `GET /swap` lists what is. Without "
    "it, by the one that is served."
)
Version = Annotated[str | None, Query(description=VERSION)]
_LABEL = "Which predicted label's evidence the picture shows; without it, all of them side by side."

_WAIT = (
    "`wait=SECONDS` (RFC 7240): a chip that is not answered in this time is dropped and answered by a 504; "
    "never more than the service allows by itself."
)

PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "description": _WAIT,
    "schema": {"type": "string"},
    "example": "wait=10",
}
DOCUMENTED: list[dict[str, Any]] = [
    *(
        {"name": name, "in": "query", "description": text, "schema": {"type": "boolean", "default": False}}
        for name, text in _FLAGS.items()
    ),
    {
        "name": "format",
        "in": "query",
        "description": _FORMAT,
        "schema": {"type": "string", "enum": list(get_args(Format)), "default": "json"},
    },
    {"name": "label", "in": "query", "description": _LABEL, "schema": {"type": "string"}},
    {"name": "version", "in": "query", "description": VERSION, "schema": {"type": "string"}},
    PREFER,
]

# What else a client prefers is none of our business, nor is what does not parse (RFC 7240, 2).
_PREFERS_WAIT = re.compile(rb"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)


def deadline_s(request: Request, most_s: float) -> float:
    """Return how many seconds a request may take: what its client prefers, within what is allowed.

    Args:
        request: with or without the header `Prefer`.
        most_s: what is allowed; 0 for any time.
    """
    most_s = most_s or math.inf
    preferred = [value for name, value in request.scope["headers"] if name == b"prefer"]
    found = _PREFERS_WAIT.search(b", ".join(preferred)) if preferred else None
    return min(most_s, float(found[1])) if found else most_s


def predict_options(query: QueryParams) -> PredictOptions:
    """Read the parameters.

    Raises:
        InvalidParameter: names the one that is unknown, repeated, or has a wrong value.
    """
    for name, count in Counter(name for name, _ in query.multi_items()).items():
        if name not in PredictOptions._fields or count > 1:
            raise InvalidParameter(
                f"{name} is there {count} times; each once: {', '.join(PredictOptions._fields)}"
            )
    for name in _FLAGS:
        if query.get(name, "false") not in ("true", "false"):
            raise InvalidParameter(f"{name}={query[name]}: it is true or false")
    if (form := query.get("format", "json")) not in get_args(Format):
        raise InvalidParameter(f"format={form}: it is {' or '.join(get_args(Format))}")
    flags = {name: query.get(name) == "true" for name in _FLAGS}
    read = PredictOptions(
        **flags, format=cast(Format, form), label=query.get("label"), version=query.get("version")
    )
    if read.format == "png" and not read.evidence:
        raise InvalidParameter("format=png shows evidence; add evidence=true")
    if read.label is not None and read.format != "png":
        raise InvalidParameter("label= chooses what format=png shows; add evidence=true&format=png")
    return read
