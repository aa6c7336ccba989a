"""Paths as people give them → image files. For the console and the client; imports nothing of the server."""

from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Replace each folder by the images inside it, at any depth and sorted; keep files as given."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [file for file in inside if file == path or file.suffix.lower() in SUFFIXES]
    return found


def unreadable(error: OSError | ValueError) -> str:
    """Say why a file gives no bytes, and the fix."""
    reason = error.strerror if isinstance(error, OSError) else error
    return f"the file cannot be read ({reason}); give an image or a folder of images"


def printable(name: str) -> str:
    """Replace in a name what is no text; file systems and forms know names that are none."""
    return name.encode("utf-8", "replace").decode()
