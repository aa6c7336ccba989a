"""Stage 1 on many machines: the fits of a run as independent jobs of a Ray cluster.

A job is a whole member where its folds share cached features, else one fold. Jobs find the
chips and leave the weights in the run's folder, so every machine must see that folder. A lost
machine's job starts again elsewhere, from its last epoch.
"""

import logging
import os
from dataclasses import dataclass
from typing import Any

from training.config.schema import CACHED, MemberConfig
from training.data.dataset import open_dataset
from training.fit.fit import fit_member
from training.run.folder import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What one worker does in one go."""

    member: MemberConfig
    folds: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.member.name}, fold {' '.join(str(fold + 1) for fold in self.folds)}"


@dataclass(frozen=True)
class Share:
    """What of a machine one job gets."""

    gpus: int
    cpus: int


def jobs_of(run: Run) -> list[Job]:
    """List all fits as jobs, done or not."""
    folds = range(run.config.folds)
    jobs = []
    for member in run.config.members:
        parts = [tuple(folds)] if member.freeze in CACHED else [(fold,) for fold in folds]
        jobs += [Job(member, part) for part in parts]
    return jobs


def left_of(run: Run, jobs: list[Job]) -> list[Job]:
    """Return the jobs that still have something to fit."""
    return [
        job for job in jobs if not all(run.fit_path(job.member.name, fold).exists() for fold in job.folds)
    ]


def share_of(nodes: list[dict[str, float]], jobs: int) -> Share:
    """Return a GPU for each job where there are any, and a fair part of the processors.

    Args:
        nodes: what each machine has, such as `{"CPU": 16, "GPU": 2}`.
        jobs: how many the run has in all.

    Raises:
        ValueError: the cluster has no processors.
    """
    cpus, gpus = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU"))
    if not cpus:
        raise ValueError("the Ray cluster has no processors; start its workers with --num-cpus")
    usable = [node for node in nodes if node.get("GPU", 0) or not gpus]
    largest = int(max(node.get("CPU", 0) for node in usable))
    at_once = min(jobs, gpus) if gpus else jobs
    cpus = int(sum(node.get("CPU", 0) for node in usable))
    # Rounded down, so that jobs never ask for more than there is; what one machine cannot give,
    # none gets.
    return Share(gpus=1 if gpus else 0, cpus=max(1, min(cpus // max(at_once, 1), largest)))


def fit_on(run: Run, workers: str) -> None:
    """Fit what is not fitted yet on a Ray cluster.

    Args:
        run: its folder must be on a file system that all machines of the cluster share.
        workers: `ray` for a cluster that runs on this machine, or one started here for this
            purpose; `ray://host:10001` for one elsewhere.

    Raises:
        ValueError: Ray is missing, or jobs failed; names them. The others have finished.
    """
    ray = _ray()
    if workers != "ray" and not workers.startswith("ray://"):
        raise ValueError(f"--workers {workers}: write `ray`, or `ray://host:10001`")
    ours = not ray.is_initialized()
    if ours:
        ray.init(**({"address": workers} if workers != "ray" else {"include_dashboard": False}))
    try:
        _fit_all(ray, run)
    finally:
        if ours:
            ray.shutdown()


def work(run: Run, job: Job, cpus: int) -> str | None:
    """Do one job on the machine this is called on; return why it failed, or None.

    The reason goes back as text, so that it needs no class that only a worker could import.
    """
    import torch

    logging.basicConfig(format="%(message)s")
    logging.getLogger("training").setLevel(logging.INFO)
    torch.set_num_threads(cpus)
    try:
        here = _same_run(run)
        fit_member(here, job.member, open_dataset(here), job.folds)
    except Exception as error:  # the edge of a job: the others go on
        return f"{type(error).__name__}: {error}"
    return None


def _fit_all(ray: Any, run: Run) -> None:  # noqa: ANN401 — a module that may be missing
    run = Run.open(run.folder.resolve())
    jobs = left_of(run, jobs_of(run))
    if not jobs:
        return
    # By all jobs, not those left: other numbers of threads would give a resumed fit other weights.
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    share = share_of(nodes, len(jobs_of(run)))
    log.info("%d jobs, each on %d GPU and %d CPU", len(jobs), share.gpus, share.cpus)
    remote = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus)(work)
    waiting = {remote.remote(run, job, share.cpus): job for job in jobs}
    failed: dict[str, str] = {}
    while waiting:
        (done, *_), _ = ray.wait(list(waiting), num_returns=1)
        job = waiting.pop(done)
        try:
            reason = ray.get(done)
        except ray.exceptions.RayError as error:  # the worker itself is gone, more than once
            reason = str(error)
        if reason:
            failed[str(job)] = reason
        log.info("%s: %s; %d left", job, reason or "done", len(waiting))
    if failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        raise ValueError(f"{len(failed)} of {len(jobs)} fits failed, all others are done\n{lines}")


def _same_run(run: Run) -> Run:
    """Open the run as this machine sees it."""
    if (run.folder / "run.json").exists() and (found := Run.open(run.folder)) == run:
        return found
    raise ValueError(
        f"{run.folder}: not this run's folder on {os.uname().nodename}; --out must be on a file system "
        "that all machines of the cluster share, at the same path"
    )


def _ray() -> Any:  # noqa: ANN401 — a module that may be missing
    # Ray's own defaults: figures of use to its makers, equal lines of several workers as one.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        import ray
    except ImportError:
        raise ValueError("--workers needs Ray; run `make install`, or install the extra `ray`") from None
    return ray
