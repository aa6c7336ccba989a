"""A stand-in for a device of known speed: each chip takes so long, and no processor.

    python -m benchmarks.harness.timed      this service on such a device

How servers treat their clients then compares whatever else runs on the machine. Peers take the
stand-in too (`peers/common.py`), by the same variables:

    DEVICE_MS       milliseconds for each chip; unset: graphs take the time that they take
    DEVICE_LANES    chips at a time in one process (1)
    DEVICE_COUNT    a file that grows by a byte with each chip computed
"""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from service.contract.manifest import INPUT


class TimedSession(ort.InferenceSession):  # type: ignore[misc]
    """A session whose runs wait for the device."""

    _lanes = threading.BoundedSemaphore(int(os.environ.get("DEVICE_LANES", "1")))

    def run(self, names: Any, feed: Mapping[str, Any], options: Any = None) -> Any:  # noqa: ANN401
        """Run, and hold a lane of the device meanwhile."""
        chips = len(feed[INPUT]) if INPUT in feed else 0
        with self._lanes:
            time.sleep(chips * float(os.environ["DEVICE_MS"]) / 1000)
            found = super().run(names, feed, options)
        if chips and "DEVICE_COUNT" in os.environ:
            with Path(os.environ["DEVICE_COUNT"]).open("ab") as counted:
                counted.write(bytes(chips))
        return found


def install() -> None:
    """Let every session opened from now on be timed, if the environment says so."""
    if "DEVICE_MS" in os.environ:
        ort.InferenceSession = TimedSession


if __name__ == "__main__":
    from service.cli import main

    install()
    main(["serve"])
