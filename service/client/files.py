"""Paths as people give them → image files. For console and client; knows nothing of the server."""

from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".jp2", ".tif", ".tiff")


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Replace each folder by the images inside it, at any depth and sorted; keep files as given.

    Hidden files in a folder are left out: macOS writes `._tile.png` beside `tile.png`, or in
    `__MACOSX`.
    """
    found: list[Path] = []
    for path in paths:
        found += sorted(file for file in path.rglob("*") if _shown(file, path)) if path.is_dir() else [path]
    return found


def _shown(file: Path, folder: Path) -> bool:
    """Whether a file inside a folder is an image that people see."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and not hidden


def unreadable(error: OSError | ValueError) -> str:
    """Say why a file gives no bytes, and the fix."""
    reason = error.strerror if isinstance(error, OSError) else error
    return f"the file cannot be read ({reason}); give an image or a folder of images"


def printable(name: str) -> str:
    """Replace in a name what is no text; file systems and forms know names that are none."""
    return name.encode("utf-8", "replace").decode()
