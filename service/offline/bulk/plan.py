"""What a run is to do, written down before it begins: whoever goes on does the same.

    OUTPUT/
      part-00000.parquet     the answers, so many inputs a part, in the inputs' order
      _errors/part-00000.parquet   those of a part's inputs that have no answer, if any
      _plan/plan.json        `Plan`
      _plan/inputs.parquet   the inputs, a row group for each part, until all are answered

Programs that read folders of Parquet leave out what begins with an underscore. A part is whole or
not there, and its errors were there before it.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.contract.files import atomic_write
from service.offline.bulk.errors import PlanError
from service.offline.bulk.inputs import Item
from service.scenes.stores import unsigned

PLAN, INPUTS, LOCK = "_plan/plan.json", "_plan/inputs.parquet", "_plan/lock"
# Names of files need be no text.
_COLUMNS = pa.schema(
    {
        "name": pa.binary(),
        "address": pa.binary(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "fault": pa.string(),
    }
)


@dataclass(frozen=True)
class Plan:
    """What decides on the answers, and on which part holds which."""

    bundle: str
    seal: str  # SHA-256 of its manifest, which holds those of all its files
    members: str  # "all", or "until decided"
    precision: str  # that is asked for; with "auto", each process takes what is fastest there
    part: int  # inputs in a part
    chips: int  # inputs
    inputs: str  # SHA-256 of their names, and of where they lie, in order

    @property
    def parts(self) -> int:
        """Count the parts."""
        return -(-self.chips // self.part)

    def text(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


def read(text: str | bytes, where: Path) -> Plan:
    """Read a plan.

    Raises:
        PlanError: it is none that this version wrote.
    """
    try:
        return Plan(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise PlanError(f"{where}: is no plan of this version ({error}); choose another --out") from error


@contextmanager
def listed(items: Iterable[Item], folder: Path, part: int) -> Iterator[tuple[int, str]]:
    """Write the inputs down, in place of those that are there when the block ends without error.

    Yields:
        How many there are, and the SHA-256 of their names and of where they lie.
    """
    count, digest, drawn = 0, hashlib.sha256(), iter(items)
    with (
        atomic_write(folder / INPUTS) as partial,
        pq.ParquetWriter(partial, _COLUMNS, compression="zstd") as writer,
    ):
        while some := list(islice(drawn, part)):
            count += len(some)
            names = [os.fsencode(item.name) for item in some]
            addresses = [os.fsencode(_absolute(item.address)) for item in some]
            columns = {
                "name": names,
                "address": addresses,
                "offset": [item.offset for item in some],
                "size": [item.size for item in some],
                "fault": [item.fault for item in some],
            }
            for item, name, address in zip(some, names, addresses, strict=True):
                # What is signed anew lies where it lay.
                lies = os.fsencode(unsigned(os.fsdecode(address)))
                digest.update(b"\0".join((name, lies, b"%d %d" % (item.offset, item.size or -1))) + b"\n")
            writer.write_table(pa.table(columns, _COLUMNS), row_group_size=part)
        writer.close()
        yield count, digest.hexdigest()


def inputs_of(file: pq.ParquetFile, part: int) -> list[Item]:
    """Return the inputs of one part."""
    name, address, *rest = file.read_row_group(part).to_pydict().values()
    return list(map(Item, map(os.fsdecode, name), map(os.fsdecode, address), *rest))


def settle(plan: Plan, known: Plan, where: Path) -> None:
    """Refuse to go on with another plan.

    Raises:
        PlanError: says what differs, and the fix.
    """
    different = [
        f"{field.name} {getattr(known, field.name)!s:.40} (now {getattr(plan, field.name)!s:.40})"
        for field in fields(Plan)
        if getattr(known, field.name) != getattr(plan, field.name)
    ]
    if different:
        raise PlanError(
            f"{where} was begun with {', '.join(different)}; go on as it was begun, choose another --out, "
            "or drop what is there with --restart"
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, for as long as this process lives.

    Raises:
        PlanError: another is at it, or nobody can write there.
    """
    path = folder / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("w")
    except OSError as error:
        raise PlanError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PlanError(f"{folder}: another run writes to it; wait for its end") from error
        yield


def _absolute(address: str) -> str:
    return address if "://" in address or not address else os.path.abspath(address)
