"""What schemathesis sends as a picture: whole chips, damaged ones, and bytes that are none.

Loaded by schemathesis itself, which knows of pictures only that they are bytes.
"""

import random

import schemathesis
from hypothesis import strategies

from benchmarks.harness.damage import CODECS, damaged

WHOLE = [data for files in CODECS.values() for data in files()]


def chips() -> strategies.SearchStrategy[bytes]:
    """Return what generates files."""
    whole = strategies.sampled_from(WHOLE)
    spoilt = strategies.builds(
        lambda data, seed: damaged(data, random.Random(seed)), whole, strategies.integers(0, 1 << 32)
    )
    return whole | spoilt | strategies.binary(max_size=64)


TYPES = ("image/jpeg", "image/png", "image/webp", "image/jp2", "image/tiff", "application/octet-stream")
for media_type in TYPES:
    schemathesis.openapi.media_type(media_type, chips())
schemathesis.openapi.format("binary", chips())  # a form's files
