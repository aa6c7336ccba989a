"""A bulk run as a whole: list, plan, answer what is missing, write; and go on where one ended.

Knows every part of this folder, and no command line.
"""

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from service.answers.layers.rows import Legend
from service.contract.bundle import MANIFEST, Bundle, load
from service.contract.files import atomic_write
from service.contract.memory import available_bytes
from service.contract.processors import processors
from service.offline.bulk import cluster, plan
from service.offline.bulk.copies import Copies
from service.offline.bulk.errors import InputError, NotFetched, PlanError, SourceLost
from service.offline.bulk.inputs import ACCEPTED, items
from service.offline.bulk.parts import ERRORS, PLAN_KEY, Counts, Parts, parts_in
from service.offline.bulk.plan import Plan
from service.offline.bulk.pool import Pool
from service.offline.bulk.rows import Row
from service.offline.bulk.scorer import OpenBundle, Opening
from service.offline.bulk.sources import local
from service.scenes.stores import shown
from service.settings import Settings

PART = 1000
OUTAGE = 64  # chips in a row that cannot be fetched
PROCESSORS = 8  # that one process keeps busy
PROCESS_BYTES, PER_BUNDLE_BYTE = 1 << 29, 10  # of memory that one process takes


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a run is asked for."""

    source: str
    out: Path  # a folder, or one file that ends in .parquet
    settings: Settings
    column: str | None = None  # of a list, that names chips
    all_members: bool = False
    each_copy: bool = False  # run the networks on equal bytes once more
    part: int = PART  # inputs in a part
    processes: int = 0  # of this machine, or actors of a cluster; 0: as many as are of use
    ray: bool = False
    address: str | None = None  # of the cluster
    restart: bool = False  # drop what is there

    @property
    def single(self) -> bool:
        """Whether one file is asked for."""
        return self.out.suffix == ".parquet"

    @property
    def folder(self) -> Path:
        """Where the parts are."""
        return self.out.with_name(f"{self.out.name}.parts") if self.single else self.out

    @property
    def errors(self) -> Path:
        """Where the errors are, if there are any."""
        return self.out.with_suffix(".errors.parquet") if self.single else self.out / ERRORS


class Run:
    """A run that may begin, go on, or be done already."""

    def __init__(self, job: Job, bundle: Bundle, settled: Plan, copies: Copies, finished: bool) -> None:
        self._job, self._bundle, self._plan, self._copies = job, bundle, settled, copies
        self._parts = Parts(job.folder, Legend.of(bundle), settled)
        self.chips, self.finished = settled.chips, finished
        self.done = settled.chips if finished else min(self._parts.done * settled.part, settled.chips)

    def rows(self, opening: Opening | None = None) -> Iterator[Row]:
        """Answer what is missing, and yield each row as it comes; at the end, all is written.

        Args:
            opening: opens what answers; None: the bundle's networks.

        Raises:
            StartupError: the bundle cannot be used, or workers are lost; says why, and the fix.
        """
        if self.finished:
            return
        if self.done < self.chips:
            yield from self._parts.write(_while_fetched(self._found(opening)), self._copies)
        if self._job.single:
            self._parts.merge(self._job.out, self._job.errors)
        self.finished = True

    def counts(self) -> Counts:
        """Count what is written."""
        if not self._job.single:
            return self._parts.counts()
        files = [self._job.out, self._job.errors]
        return Counts(*(pq.read_metadata(file).num_rows if file.exists() else 0 for file in files))

    def learn(self) -> None:
        """Take in what earlier runs answered."""
        self._copies.learn(map(self._parts.path, range(self._parts.done)), Legend.of(self._bundle))

    def _found(self, opening: Opening | None) -> Iterator[Row]:
        job, first = self._job, self._parts.done
        settings, inputs = job.settings, job.folder / plan.INPUTS
        if job.ray:
            work = cluster.Work(inputs, first, self._plan.parts, self._bundle.manifest.input, settings)

            def of_actor(threads: int) -> Opening:
                share = settings.model_copy(update={"threads": threads})
                return opening or OpenBundle(share, job.all_members)

            yield from cluster.rows(work, of_actor, job.address, job.processes)
            return
        processes = job.processes or processes_for(self._bundle, settings)
        known = None if job.each_copy else self._copies.path
        opening = opening or OpenBundle(shared_out(settings, processes), job.all_members, known)
        with Pool(opening, processes) as pool, pq.ParquetFile(inputs) as file:
            yield from pool.rows(
                item for number in range(first, self._plan.parts) for item in plan.inputs_of(file, number)
            )


@contextmanager
def begun(job: Job) -> Iterator[Run]:
    """Plan a run, or find what is left of it; nobody else may write there meanwhile.

    Raises:
        InputError: there is nothing to label.
        PlanError: the output holds something else, or another run writes there.
        StartupError: the bundle cannot be used.
    """
    bundle = load(job.settings.bundle)
    _check_ours(job)
    with plan.alone(job.folder), TemporaryDirectory(prefix="chipvote-") as scratch:
        settled, finished = _settled(job, bundle)
        with _room(scratch), closing(Copies(Path(scratch) / "copies.sqlite")) as copies:
            run = Run(job, bundle, settled, copies, finished)
            if not finished:
                run.learn()
            yield run
        if not run.finished:
            return
        if not job.single:  # what was listed may be signed; whoever repeats the command lists it anew
            (job.folder / plan.INPUTS).unlink(missing_ok=True)
        else:
            # The plan goes last: without it, what a kill leaves would be taken for others' files.
            for path in parts_in(job.folder):
                path.unlink()
            shutil.rmtree(job.folder / ERRORS, ignore_errors=True)
            shutil.rmtree(job.folder)


@contextmanager
def _room(scratch: str) -> Iterator[None]:
    """Say it if there is no room for temporary files.

    Raises:
        PlanError: names their folder.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise PlanError(
            f"{scratch}: temporary files cannot be written ({error}); set TMPDIR to a folder that has room"
        ) from error


def _while_fetched(rows: Iterable[Row]) -> Iterator[Row]:
    """Pass rows on until it is the store, and not a chip, that is the matter.

    Raises:
        SourceLost: chip after chip could not be fetched.
    """
    missed: list[Row] = []  # not passed on before it is known that the others come
    for row in rows:
        if row.title == NotFetched.title:
            missed.append(row)
        else:
            yield from missed
            missed.clear()
            yield row
        if len(missed) == OUTAGE:
            raise SourceLost(
                f"{OUTAGE} chips in a row could not be fetched, the last {row.name} ({row.reason}); the same "
                "command goes on when that is mended"
            )
    yield from missed


def processes_for(bundle: Bundle, settings: Settings) -> int:
    """Return how many processes are of use: one for some processors, as far as memory goes."""
    import onnxruntime

    if settings.device != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return 1
    graphs = sum(file.stat().st_size for file in bundle.folder.glob("*.onnx"))
    each, free = PROCESS_BYTES + PER_BUNDLE_BYTE * graphs, available_bytes()
    by_memory = free // each if free is not None else 1
    return max(1, min((settings.threads or processors()) // PROCESSORS, by_memory))


def shared_out(settings: Settings, processes: int) -> Settings:
    """Return the settings of one process of several."""
    threads = max(1, (settings.threads or processors()) // processes)
    return settings.model_copy(update={"threads": threads})


def _settled(job: Job, bundle: Bundle) -> tuple[Plan, bool]:
    """List the inputs and settle the plan; tell whether all of it is done."""
    early = not job.all_members and bundle.early_voter is not None
    with plan.listed(items(job.source, job.column), job.folder, job.part) as (chips, digest):
        if not chips:
            raise InputError(f"{shown(job.source)}: holds no chip; {ACCEPTED}")
        settled = Plan(
            bundle=f"{bundle.manifest.name} {bundle.manifest.version}",
            seal=sha256((bundle.folder / MANIFEST).read_bytes()).hexdigest(),
            members="until decided" if early else "all",
            precision=job.settings.precision,
            part=job.part,
            chips=chips,
            inputs=digest,
        )
        if job.restart:
            _clear(job)
        path, finished = job.folder / plan.PLAN, job.single and job.out.exists()
        if finished:
            plan.settle(settled, plan.read(_plan_of(job.out), job.out), job.out)
        elif path.exists():
            plan.settle(settled, plan.read(path.read_text(), path), job.out)
        else:
            with atomic_write(path) as partial:
                partial.write_text(settled.text())
    return settled, finished


def _check_ours(job: Job) -> None:
    """Refuse what others wrote: files of a folder would be one table with ours, a file be lost.

    Raises:
        PlanError: there is something, and no plan.
    """
    if job.single and job.out.is_file() and not _plan_of(job.out):
        raise PlanError(f"{job.out}: is there, and not by `chipvote score`; choose another --out")
    if job.folder.is_file() or (job.single and job.out.is_dir()):
        raise PlanError(f"{job.out}: --out is a folder, or a file that ends in .parquet; choose another")
    if job.folder.is_dir() and any(job.folder.iterdir()) and not (job.folder / plan.PLAN).parent.is_dir():
        raise PlanError(f"{job.out}: there is something else in it; choose another --out")
    source = local(job.source)
    if source:
        ours = {path.resolve() for path in (job.out, job.errors, job.folder)}
        if not ours.isdisjoint((source.resolve(), *source.resolve().parents)):
            raise PlanError(f"{job.source}: would be replaced by what is made of it; choose another --out")


def _plan_of(out: Path) -> bytes:
    """Return the plan that a file holds, empty if it has none."""
    try:
        known: dict[bytes, bytes] = pq.read_schema(out).metadata or {}
        return known.get(PLAN_KEY, b"")
    except pa.ArrowInvalid:
        return b""


def _clear(job: Job) -> None:
    """Drop what an earlier run left."""
    for path in [*parts_in(job.folder), *parts_in(job.folder / ERRORS), job.folder / plan.PLAN]:
        path.unlink(missing_ok=True)
    if job.single:
        job.out.unlink(missing_ok=True)
        job.errors.unlink(missing_ok=True)
