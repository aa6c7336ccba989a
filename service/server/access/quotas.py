"""How much one key may ask at a time and in a minute, and what its answers tell of that.

Source: draft-ietf-httpapi-ratelimit-headers-11 for the names and the form of the fields.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.server.access.errors import TooManyRequests
from service.server.access.keys import Key

WINDOW_S = 60

Headers = list[tuple[bytes, bytes]]


class _Use:
    """What one key has used."""

    __slots__ = ("count", "ends_s", "open")

    def __init__(self) -> None:
        self.open = self.count = 0
        self.ends_s = 0.0  # of the window, which begins with a request


class Quotas:
    """The uses of all keys, by name: a file that is read anew gives nobody a new quota."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}

    @contextmanager
    def hold(self, key: Key) -> Iterator[Headers]:
        """Count one request until its answer has ended.

        Yields:
            What the answer says of the quota; nothing for a key without limits.

        Raises:
            TooManyRequests: the key has used up what it may.
        """
        use = self._uses.setdefault(key.name, _Use())
        now_s = time.monotonic()
        if now_s >= use.ends_s:
            use.count, use.ends_s = 0, now_s + WINDOW_S
        if key.rate is not None and use.count >= key.rate:
            wait_s = math.ceil(use.ends_s - now_s)
            raise TooManyRequests(
                f"the key {key.name} has sent its {key.rate} requests of this minute; go on in {wait_s} s",
                wait_s,
            )
        if key.concurrent is not None and use.open >= key.concurrent:
            raise TooManyRequests(
                f"{use.open} requests of the key {key.name} are open, as many as it may have; "
                "send the next one when one is answered",
                1,
            )
        use.count += 1
        use.open += 1
        try:
            yield self.headers(key)
        finally:
            use.open -= 1

    def headers(self, key: Key, retry_after_s: float = math.inf) -> Headers:
        """Return what an answer says of a key's quota.

        Args:
            key: whose.
            retry_after_s: when the answer asks to come again. What begins anew only after that is
                not why, and is left out: by the draft, no window may end later.
        """
        use = self._uses[key.name]
        policies, left = [], []
        if key.rate is not None:
            ends = math.ceil(max(0.0, use.ends_s - time.monotonic()))
            policies.append(f'"rate";q={key.rate};w={WINDOW_S}')
            if ends <= retry_after_s:
                left.append(f'"rate";r={max(0, key.rate - use.count)};t={ends}')
        if key.concurrent is not None:
            policies.append(f'"concurrent";q={key.concurrent};qu="concurrent-requests"')
            left.append(f'"concurrent";r={max(0, key.concurrent - use.open)}')
        if not policies:
            return []
        return [
            (b"ratelimit-policy", ", ".join(policies).encode()),
            (b"ratelimit", ", ".join(left).encode()),
        ]
