"""Inputs → rows in order, by a Ray cluster: tasks read and decode, actors vote.

Both are steps of Ray Data: blocks of chips stream from one to the other, and no more are made than
the actors can take. The plan's inputs and the bundle reach every machine through Ray; the chips
must be readable there at their addresses. What reads, decodes and votes is the code of one machine,
and the rows are written where the command runs.
"""

import hashlib
import logging
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from service.contract.bundle import MANIFEST
from service.contract.errors import SettingsError
from service.contract.manifest import InputSpec
from service.offline.bulk.errors import WorkersLost
from service.offline.bulk.plan import inputs_of
from service.offline.bulk.pool import Pool
from service.offline.bulk.reading import chips
from service.offline.bulk.rows import Row
from service.offline.bulk.scorer import Opening
from service.settings import Settings

BLOCK_BYTES = 16 << 20  # of chips that go from task to actor at once
MOST_THREADS = 8  # that one actor uses
_BLOCK_CHIPS = 64
_DECODER_CPUS = 0.25  # other than an actor's, or Ray would have one do both in turn

Batch = dict[str, Any]  # a block's columns


class Work(NamedTuple):
    """What a cluster is to do."""

    inputs: Path  # of the plan
    first: int  # part that is missing
    parts: int
    spec: InputSpec
    settings: Settings


class Share(NamedTuple):
    """What one actor gets, and how many there may be."""

    cpus: float
    gpus: int
    threads: int
    least: int
    most: int


def rows(
    work: Work, opening: Callable[[int], Opening], address: str | None, actors: int = 0
) -> Iterator[Row]:
    """Yield a row for each input from the first missing part on, in order.

    Args:
        work: what is to do.
        opening: returns what opens an actor's scorer, for so many threads.
        address: of the cluster; None: that of RAY_ADDRESS, or one that is started here for this.
        actors: how many; 0 for as many as are busy and the cluster has room for.

    Raises:
        SettingsError: Ray is missing, or no cluster answers.
        WorkersLost: the cluster stops answering.
    """
    with _connected(address) as ray:
        share = share_of([node["Resources"] for node in ray.nodes() if node["Alive"]], work.settings, actors)
        try:
            answers = _pipeline(ray, work, opening(share.threads), share)
            for block in answers.iter_batches(batch_size=None, batch_format="numpy"):
                for found in block["rows"]:
                    yield from pickle.loads(found)
        except ray.exceptions.RayError as error:
            reason = str(getattr(error, "cause", None) or error).strip().rpartition("\n")[2]
            raise WorkersLost(
                f"the cluster stopped answering ({reason}); the same command goes on from here, with --ray "
                "or without"
            ) from error


def share_of(nodes: list[dict[str, float]], settings: Settings, actors: int) -> Share:
    """Share out a cluster's processors and GPUs.

    An actor counts as one processor less than it uses, which is left to tasks that decode.

    Raises:
        SettingsError: it has none.
    """
    cpus = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1]
    gpus = 0 if settings.device == "cpu" else int(sum(node.get("GPU", 0) for node in nodes))
    if not cpus or (settings.device == "cuda" and not gpus):
        lacking, option = ("GPUs", "gpus") if cpus else ("processors", "cpus")
        raise SettingsError(f"the Ray cluster has no {lacking}; start its nodes with --num-{option}=N")
    threads = settings.threads or min(MOST_THREADS, *cpus)
    room = gpus or sum(max(1, count // threads) for count in cpus)
    cpus_each = 0.5 if gpus else max(0.5, threads - 1)
    # More than there is room for now may have it later: some clusters grow.
    return Share(cpus_each, min(1, gpus), threads, min(actors, room) or 1, actors or room)


def _pipeline(ray: Any, work: Work, opening: Opening, share: Share) -> Any:  # noqa: ANN401 - may be missing
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = False
    inputs, folder = ray.put(work.inputs.read_bytes()), work.settings.bundle
    files = ray.put({file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()})
    seal = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    left = work.parts - work.first
    return (
        # No range: what makes one wants a whole processor, which actors may have taken.
        ray.data.from_items([{"part": work.first + n} for n in range(left)], override_num_blocks=left)
        .map_batches(
            _decoded,
            fn_kwargs={"inputs": inputs, "work": work},
            batch_size=1,
            num_cpus=_DECODER_CPUS,
        )
        .map_batches(
            Networks,
            fn_constructor_kwargs={
                "opening": opening,
                "folder": folder,
                "seal": seal,
                "files": files,
                "births": ray.remote(num_cpus=0)(Births).remote(),
            },
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(min_size=share.least, max_size=share.most),
            num_cpus=share.cpus,
            num_gpus=share.gpus or None,
        )
    )


def _decoded(batch: Batch, inputs: Any, work: Work) -> Iterator[Batch]:  # noqa: ANN401 - Ray's reference
    """Read and decode the inputs of parts, in a task."""
    import ray

    file = pq.ParquetFile(pa.BufferReader(ray.get(inputs)))
    for number in batch["part"]:
        found = chips(inputs_of(file, int(number)), work.spec, work.settings)
        while some := list(islice(found, _BLOCK_CHIPS)):
            yield {"chips": [pickle.dumps(chip) for chip in some]}


class Births:
    """Counts how often each actor was started, in an actor of its own."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, actor: str) -> int:
        """Count one more; return how many there are."""
        self._counts[actor] += 1
        return self._counts[actor]


class Networks:
    """A scorer in an actor.

    Ray starts an actor again that died, and gives it the same chips, without end. So one that was
    started again leaves them to a process of its own, and finds the chip that ends that.
    """

    def __init__(self, opening: Opening, folder: Path, seal: str, files: Any, births: Any) -> None:  # noqa: ANN401
        """Open it, from the bundle that lies here at its path, or from the one that Ray brought."""
        import ray

        manifest = folder / MANIFEST
        if not (manifest.exists() and hashlib.sha256(manifest.read_bytes()).hexdigest() == seal):
            self._brought = TemporaryDirectory(prefix="chipvote-")  # for as long as the actor is there
            folder = Path(self._brought.name)
            for name, data in ray.get(files).items():
                (folder / name).write_bytes(data)
        again = ray.get(births.count.remote(ray.get_runtime_context().get_actor_id())) > 1
        self._pool = Pool(partial(opening, folder), 1) if again else None
        self._scorer = None if again else opening(folder)

    def __call__(self, batch: Batch) -> Batch:
        """Vote on a block of chips."""
        found = map(pickle.loads, batch["chips"])
        if self._pool:
            rows = self._pool.rows(item for (item, *_), _ in found)
        else:
            assert self._scorer
            rows = self._scorer.answered(found)
        return {"rows": [pickle.dumps(list(rows))]}


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    # Ray's own defaults: figures of use to its makers, a copy of the environment made by uv, equal
    # lines of several workers as one.
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_UV_RUN_RUNTIME_ENV", "RAY_DEDUP_LOGS"):
        os.environ.setdefault(name, "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise SettingsError("--ray needs Ray; pip install 'chipvote[scenes,ray]'") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # or it tells what it was told to do
    address = address or os.environ.get("RAY_ADDRESS")
    ours = not ray.is_initialized()
    if ours:
        how: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
        try:
            ray.init(logging_level=logging.ERROR, **how)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SettingsError(f"no Ray cluster answers at {address or 'this machine'} ({error})") from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
