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


def unreadable(error: OSError) -> str:
    """Say why a file gives no bytes, and the fix."""
    return f"the file cannot be read ({error.strerror}); give an image or a folder of images"
