"""What is to be labelled → one item for each chip, streamed: millions of them take no memory.

A folder or prefix, a list in CSV or Parquet, tar files with chips as members (as WebDataset packs
them), or a chip alone; here or in a store. Knows names and places, and reads no chip.
"""

import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from service.client.files import SUFFIXES, is_image, reason, shown
from service.offline.bulk import sources
from service.offline.bulk.errors import InputError
from service.offline.bulk.lists import LISTS, cells
from service.scenes import stores

_TAR = ".tar"
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")
ACCEPTED = f"give a folder, a list ({', '.join(LISTS)}), a {_TAR} or an image ({', '.join(SUFFIXES)})"


class Item(NamedTuple):
    """One chip, and where its bytes lie."""

    name: str  # what its row is called: inside the folder, as in the list, or `shard.tar/member.jpg`
    address: str
    offset: int = 0
    size: int | None = None  # bytes; None: the whole file
    fault: str = ""  # why there are none, where the listing shows it


def items(source: str, column: str | None = None) -> Iterator[Item]:
    """List the chips of a folder, list, tar file or address, in an order that is always the same.

    Args:
        source: a path or an address.
        column: of a list, that holds paths or addresses; found by its name if None.

    Raises:
        InputError: it is not there, or nothing that is accepted.
    """
    path, where = sources.local(source), stores.shown(source)
    if path and not path.exists():
        raise InputError(f"{where}: there is no such file or folder; {ACCEPTED}")
    plain = source.split("?")[0].rstrip("/")
    last = plain.rpartition("/")[2]
    try:
        if path and path.is_dir():
            yield from _in_folder(source)
        elif plain.lower().endswith(LISTS):
            for number, cell in enumerate(cells(source, column), 1):
                yield from _listed(source, number, cell)
        elif is_image(plain) or plain.lower().endswith(_TAR):
            yield from _expanded(last, source)
        elif path or last.lower().endswith(_PACKED):
            raise InputError(f"{where}: is nothing that can be labelled; {ACCEPTED}")
        else:
            yield from _in_folder(source)
    except OSError as error:
        # A folder's may be one that is far below it.
        raise InputError(
            f"{error.filename or where}: cannot be read ({reason(error)}); {ACCEPTED}"
        ) from error


def _in_folder(source: str) -> Iterator[Item]:
    for name, address in sources.listed(source):
        if is_image(name) or name.lower().endswith(_TAR):
            yield from _expanded(name, address)


def _listed(source: str, number: int, cell: str) -> Iterator[Item]:
    if cell:
        # Rows are kept, and passed on, for longer than a signature should live.
        yield from _expanded(stores.unsigned(cell), sources.beside(source, cell))
    else:
        yield Item(f"row {number}", "", fault=f"row {number} of the list names no chip")


def _expanded(name: str, address: str) -> Iterator[Item]:
    """Yield a file, or the chips that it is a tar of."""
    if not address.split("?")[0].lower().endswith(_TAR):
        yield Item(name, address)
        return
    try:
        with sources.opened(address) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined] # or it would remember them all
                if not 0 <= member.size < 1 << 63:  # it would lead back in the file, or far beyond it
                    raise tarfile.ReadError(f"a member of {member.size:.3g} bytes")
                inside = member.name.removeprefix("./")  # `tar -cf shard.tar .` writes it
                if member.isreg() and not member.issparse() and is_image(inside) and shown(inside):
                    yield Item(f"{name}/{inside}", address, member.offset_data, member.size)
    except Exception as error:  # what a damaged header makes `tarfile` raise has no end
        # Its other chips, and other files, are answered all the same.
        yield Item(name, address, fault=f"the tar cannot be read to its end ({reason(error)}); copy it again")
