"""The form of every line that the process writes to stderr: JSON, or the console's on a terminal.

Our own lines and those of libraries come through `logging`; the line of a request, of which there
are thousands in a second, goes to structlog directly. Nothing is configured at import.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, cast

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor

from service.server.logs.stream import LogStream

Format = Literal["auto", "json", "console"]


@contextmanager
def configured(form: Format) -> Iterator[None]:
    """Have the process write its lines so, as long as the context is open.

    Ours from INFO on, those of libraries from WARNING on.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if form == "auto":
        form = "console" if terminal else "json"
    render: Processor
    if form == "json":
        render = structlog.processors.JSONRenderer(serializer=_json)
    else:
        # As `repr`, so that nothing in a value can move the cursor or begin a line. Tracebacks are
        # text in both forms: structlog's own would tell local variables, so tokens and pictures.
        render = structlog.dev.ConsoleRenderer(colors=terminal, repr_native_str=True, timestamp_key="time")
    stream = LogStream(_descriptor())

    def begin(_: Any, level: str, event: EventDict) -> EventDict:  # noqa: ANN401
        event = _begin(level, event)
        return {**event, "dropped": stream.dropped} if stream.dropped else event

    structlog.configure(
        processors=[begin, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, stream)),
        cache_logger_on_first_use=True,
    )
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[begin], processors=[meta, structlog.processors.format_exc_info, render]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    ours, everybody = logging.getLogger("chipvote"), logging.getLogger()
    level = ours.level
    ours.setLevel(logging.INFO)
    everybody.addHandler(handler)
    try:
        yield
    finally:
        everybody.removeHandler(handler)
        ours.setLevel(level)
        structlog.reset_defaults()


def _descriptor() -> int:
    """Return where lines go: nowhere, if the process was started without stderr."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError):
        return os.open(os.devnull, os.O_WRONLY)


def _begin(level: str, event: EventDict) -> EventDict:
    """Put first what every line has; a line stays one, whatever is told."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    told = str(event.pop("event"))
    if not told.isprintable():
        told = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in told)
    return {"time": time, "level": level, "event": told, **event}


def _json(event: EventDict, **_: object) -> str:
    return to_json(event, fallback=str).decode()
