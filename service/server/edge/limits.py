"""The numbers that one connection and all of them together keep to.

Knows settings and the process's descriptors; nothing of HTTP.
"""

import resource
import sys
from dataclasses import dataclass

from service.settings import Settings

# Descriptors for all but connections: reader processes, files, the event loop's own, and those
# that are refused or on their way out.
RESERVE = 96


@dataclass(frozen=True)
class Limits:
    """What is let in; seconds, bytes and bytes a second."""

    connections: int
    connections_per_address: int
    refused: int  # connections beyond these, let in only to be told that there is no room
    url_bytes: int
    header_bytes: int
    headers: int
    header_s: float
    idle_s: float
    stall_s: float
    least_rate: int

    @property
    def least_bytes(self) -> float:
        """What must pass in each `stall_s`."""
        return self.stall_s * self.least_rate

    def __str__(self) -> str:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            f"up to {self.connections} connections, {self.connections_per_address} from one address; the "
            f"limit of {descriptors} open files (`ulimit -n`) allows {descriptors - RESERVE}"
        )


def limits(settings: Settings) -> Limits:
    """Return the limits of one service, within those of the process (`contract/limits.py`)."""
    connections = _affordable(settings.max_connections)
    return Limits(
        connections=connections,
        connections_per_address=settings.max_connections_per_address or max(1, connections // 2),
        refused=max(RESERVE // 2, min(connections, _open_files() - RESERVE // 2 - connections)),
        url_bytes=settings.max_url_bytes,
        header_bytes=settings.max_header_bytes,
        headers=settings.max_headers,
        header_s=settings.header_s,
        idle_s=settings.idle_s,
        stall_s=settings.stall_s,
        least_rate=settings.least_rate,
    )


def _affordable(wanted: int) -> int:
    """Return how many connections there may be, so that none ever takes the last descriptor."""
    return max(1, min(wanted, _open_files() - RESERVE))


def _open_files() -> int:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most
