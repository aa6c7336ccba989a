"""A reader process that does to itself what hostile bytes might do to a real one."""

import os
import signal
import sys
import time

import numpy as np

from service.contract.chips.readers import process
from service.contract.chips.tiff import Pixels
from service.contract.manifest import InputSpec


def read(data: bytes, spec: InputSpec) -> Pixels:
    match data:
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"hang":
            time.sleep(60)
        case b"spin":
            while True:
                pass
        case b"swallow":
            bytearray(8 << 30)
        case b"killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"exit":
            sys.exit(3)
        case b"raise":
            raise KeyError("nobody expected this")
        case b"babble":
            os.write(0, b"\0\0\0\2[]" * 1000)
        case b"huge":
            return np.zeros((1, 5000, 3), np.uint8), spec.bands
        case b"odd":
            return np.zeros((64, 64, 3), np.float64), spec.bands
    pid_HWC = np.full((64, 64, 4), np.array([os.getpid()], "<u4").view("<u2")[0], np.uint16)
    return pid_HWC, spec.bands


if __name__ == "__main__":
    process.main(read)
