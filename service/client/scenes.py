"""A GeoTIFF → its labelled windows, as a service tells them, line by line.

For the client. Knows what the lines may say; nothing of connections.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from .progress import watch
from .schemas import SceneRow, SceneStart
from .transport import ChipvoteError, Exchange


def scene_rows(
    exchange: Exchange, path: Path, query: Mapping[str, str], progress: bool
) -> Iterator[SceneRow]:
    """Send one scene and yield its windows, in order, as they are answered.

    Args:
        exchange: with the service.
        path: of the GeoTIFF.
        query: what else is wanted.
        progress: show a bar, see `Client.predict`.

    Raises:
        OSError: the file cannot be read.
        ChipvoteError: the scene or the service cannot be used, or the answer ended early.
    """
    lines = exchange.lines("predict/scene", query, path)
    start = cast(SceneStart, next(lines, {}))
    if "scene" not in start:
        raise ChipvoteError(f"{path}: the service's answer is none of a scene; is it older than this client?")
    rows = _rows(lines, path)
    yield from watch(rows, start["scene"]["windows"], "windows") if progress else rows


def _rows(lines: Iterator[Any], path: Path) -> Iterator[SceneRow]:
    for line in lines:
        if "window" in line:
            yield line
        elif "done" in line:
            return
        else:
            said = line["error"]
            raise ChipvoteError(f"{path}: {said['title']}: {said['detail']}", said)
    raise ChipvoteError(f"{path}: the answer was cut before the scene's last window; send it again")
