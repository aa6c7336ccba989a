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
        found += sorted(file for file in path.rglob("*") if _in(path, file)) if path.is_dir() else [path]
    return found


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image."""
    return name.lower().endswith(SUFFIXES)


def shown(name: str) -> bool:
    """Tell whether people see a file of a folder, by its name inside that."""
    parts = {*name.split("/")} - {".", ".."}  # as tar files have them
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _in(folder: Path, file: Path) -> bool:
    return is_image(file.name) and shown(file.relative_to(folder).as_posix())


def unreadable(error: OSError | ValueError) -> str:
    """Say why a file gives no bytes, and the fix."""
    return f"the file cannot be read ({reason(error)}); give an image or a folder of images"


def reason(error: Exception) -> object:
    """Return what an error says, without its number and path; those of stores have neither."""
    return (isinstance(error, OSError) and error.strerror) or error


def printable(name: str) -> str:
    """Replace in a name what is no text; file systems and forms know names that are none."""
    return name.encode("utf-8", "replace").decode()


def size_bytes(path: Path) -> int:
    """Return a file's size; 0 where reading it will say what is wrong."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
