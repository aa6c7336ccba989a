"""How this process's C library gives memory back, so that it does not keep what was there once.

glibc takes large buffers from the system and gives them back when they are freed. But every time
one is, it raises the size from which it does so to that buffer's, up to 32 MiB: soon pictures of
any size lie in the heaps of many threads, between what stays, and hold on to them. A fixed size
ends that: soaked with mixed chips for ten minutes (`benchmarks/serving/soak.py`), the service's own
process grew by 3.9 MB a minute without it, and by 1.0 with it.

Knows the C library, and nothing of what needs memory.
"""

import ctypes
from contextlib import suppress

# Above a chip of 256×256 px and several bands: chips come too often to ask the system each time.
LARGE_BYTES = 1 << 19
# Free memory at a heap's end that is kept: less would ask the system again and again.
KEPT_BYTES = 1 << 25

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h


def give_back_large_buffers() -> None:
    """Fix the size from which buffers go back to the system; does nothing without glibc."""
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
