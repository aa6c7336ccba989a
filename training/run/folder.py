"""A run's folder: where every stage finds what the one before it left.

    <run>/
      run.json               configuration, data and weights (`Run`)
      dataset.json           what was read (`dataset.py`), chips.npy, chips.csv, excluded.csv
      features/<member>/     what its frozen part says of every chip, a file per view
      fits/<member>/         per fold its weights (.safetensors) and a row for each epoch (.csv)
      logs/<member>/fold<k>  the same rows for TensorBoard
      out_of_fold.npz        probabilities on held-out chips
      decision.json          the tuned rule: thresholds, weights, quorum, or what it has instead
      evaluation.json        scores, cross-fitted and in-sample
      decisions.npz          every chip's cross-fitted label set and probabilities
      bundle/                the finished bundle
      lock                   held by the command that works here

A file appears under its final name only when it is whole, so a killed run resumes by
looking at what is there.
"""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from training.config.schema import RunConfig, faults
from training.run.files import write_json

OUT_OF_FOLD, DECISION, DECISIONS = "out_of_fold.npz", "decision.json", "decisions.npz"
EVALUATION = "evaluation.json"
REPORT, SHIPPED_REPORT = "report.html", "report-without-chips.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a run's input lies."""

    data: Path  # folder with the table of tags and the chips
    tags: Path | None = None  # the table, when it is not to be searched for
    chips: Path | None = None  # the chips' folder, when it is not to be searched for
    weights: Path | None = None  # folder of <architecture>.safetensors; None: timm downloads them
    skip_bad: bool = False  # leave out rows whose chip is missing or unreadable
    exclude: Path | None = None  # a CSV of rows to leave out: image_name and, if known, reason
    tif: Path | None = None  # folder of TIFFs to read instead of the chips,
    audit: Path | None = None  # where this table of `audit` says that they show the same ground
    separator: str | None = None  # between the labels of a cell; None: blanks
    block_km: float | None = None  # chips of a block on the ground share a fold; see `data/groups.py`
    group: str | None = None  # the column of the tags CSV that says instead which chips do


@dataclass(frozen=True, kw_only=True, slots=True)
class _RunFile:
    config: RunConfig
    source: Source


_RUN_FILE = TypeAdapter(_RunFile)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run on disk."""

    folder: Path
    config: RunConfig
    source: Source

    @classmethod
    def start(cls, folder: Path, config: RunConfig, source: Source) -> "Run":
        """Create the run's folder, or take up the one that is there.

        Until the chips have been read, settings and data may still change.

        Raises:
            ValueError: the folder holds a run of another configuration or other data.
        """
        run = cls(folder=folder, config=config, source=source)
        path = folder / "run.json"
        wanted = _RUN_FILE.dump_python(_RunFile(config=config, source=source), mode="json")
        if (folder / "dataset.json").exists():
            found = _RUN_FILE.dump_python(_read(path), mode="json")
            other = [key for part in wanted for key in wanted[part] if found[part][key] != wanted[part][key]]
            if other:
                raise ValueError(f"{path}: holds a run with another {', '.join(other)}; use another --out")
        else:
            write_json(path, wanted)
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Read the run in a folder.

        Raises:
            ValueError: there is none, or it was written by an incompatible version.
        """
        path = folder / "run.json"
        if not path.exists():
            raise ValueError(f"{path}: not there; start with `chipvote-train run --out {folder} …`")
        file = _read(path)
        return cls(folder=folder, config=file.config, source=file.source)

    @contextmanager
    def alone(self) -> Iterator["Run"]:
        """Keep every other command out of the folder: two would write the same files.

        The lock goes with the process, however it ends.

        Raises:
            ValueError: another command works in it.
        """
        with (self.folder / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"{self.folder}: another chipvote-train works in this folder; wait for it, or stop it"
                ) from None
            except OSError:
                pass  # some network file systems have no locks
            yield self

    def need(self, name: str, stage: str) -> Path:
        """Return the path of an earlier stage's result.

        Raises:
            ValueError: it is not there; names the stage to run.
        """
        path = self.folder / name
        if not path.exists():
            raise ValueError(f"{path}: not there; run `chipvote-train {stage}` on this folder first")
        return path

    def is_fresh(self, path: Path, inputs: Iterable[Path]) -> bool:
        """Tell whether a result is there and no older than what it was made from."""
        return path.exists() and all(path.stat().st_mtime >= file.stat().st_mtime for file in inputs)

    def fit_path(self, member: str, fold: int) -> Path:
        """Return where one fold's weights of one member lie."""
        return self.folder / _fit_name(member, fold)

    def need_fit(self, member: str, fold: int) -> Path:
        """Return the same path of weights that are there; see `need`."""
        return self.need(_fit_name(member, fold), "fit")

    def epochs_path(self, member: str, fold: int) -> Path:
        """Return where the rows of one fit's epochs lie."""
        return self.fit_path(member, fold).with_suffix(".csv")

    def weights_path(self, architecture: str) -> Path | None:
        """Return the local file of ImageNet weights, None for timm's own download.

        Raises:
            ValueError: a folder of weights was given and lacks this architecture's.
        """
        if self.source.weights is None:
            return None
        path = self.source.weights / f"{architecture}.safetensors"
        if not path.exists():
            raise ValueError(f"{path}: not there; add it, or leave --weights away to download")
        return path


def _read(path: Path) -> _RunFile:
    try:
        return _RUN_FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in faults(error))
        raise ValueError(
            f"{path}: was changed, or written by another version; restore it, or use another --out\n{lines}"
        ) from None


def _fit_name(member: str, fold: int) -> str:
    return f"fits/{member}/fold{fold}.safetensors"
