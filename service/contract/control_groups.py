"""Where the bounds of this process's control groups stand: a container's share of the machine."""

from collections.abc import Iterator
from pathlib import Path

MOUNTED, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

# Where version 1 mounts a controller; version 2 has one folder for all.
_VERSION_1 = {"cpu": ("cpu", "cpu,cpuacct"), "memory": ("memory",)}


def folders(controller: str, mounted: Path = MOUNTED, own: Path = OWN) -> Iterator[Path]:
    """Yield where a bound of this process may stand: its groups and all above them.

    Args:
        controller: `cpu` or `memory`.
        mounted: where control groups are. A container sees its own group there as the root.
        own: the file that names this process's groups.
    """
    groups = {"": "", controller: ""}
    for line in lines(own):
        match line.split(":", 2):
            case [_, controllers, path]:
                groups |= {name: path.strip("/") for name in controllers.split(",") if name in groups}
    for name, mount in (("", "."), *((controller, mount) for mount in _VERSION_1[controller])):
        root = mounted / mount
        group = root / groups[name]
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(root))


def lines(path: Path) -> list[str]:
    """Return a file's lines; none where it cannot be read."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
