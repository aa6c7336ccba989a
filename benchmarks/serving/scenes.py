"""Is a scene labelled as fast as its chips would be, and in little memory?

    python -m benchmarks.serving.scenes [FOLDER] [--rounds N] [--side PX]

Speed: the bundle maps a part of a scene with all its members, in turns with the members in plain
ONNX Runtime on the same chips, the fastest way of `harness/bare.py`. Reading, resuming and writing
rows are in the former. Memory: the command maps a whole scene of four bands, twice: with the
bundle, and with a tiny one that names colours, whose answers are compared with the scene's pattern.
Five minutes on two cores.

Shape suffixes: B chips, H height, W width, C bands.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow.parquet as pq
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window
from rich.console import Console
from rich.table import Table

from benchmarks.harness.bare import BareLoop, ways
from service.contract.bundle import Bundle, load
from service.contract.errors import ServiceError
from service.contract.processors import processors
from service.engine.crew import Crew
from service.engine.ensemble import Ensemble
from service.offline.files import open_crew
from service.offline.maps.journal import Journal
from service.offline.maps.labelling import label_windows
from service.offline.maps.plan import Wishes
from service.scenes.grid import Grid
from service.scenes.reading import read_chips
from service.scenes.scene import open_scene
from service.settings import Settings
from tests.kit.fakes import BLACK, BLUE, GREEN, LABELS, RED, SIZE_PX, make_bundle

SHIPPED = Path("models/uc-merced")
BLOCK_PX = 256  # of one colour
PART_PX = 12 * 256
COLOURS = np.array([[*colour, 0] for colour in (RED, GREEN, BLUE, BLACK)], np.uint8)
BATCH, SECONDS = 32, 4.0
MIB, POLL_S = 1 << 20, 0.1


class Pace(NamedTuple):
    """How fast chips were done, and how much of all processors' time each took."""

    per_s: float
    cpu_ms: float

    @staticmethod
    def clock() -> tuple[float, float]:
        """Return the time, and the process's time on processors."""
        return perf_counter(), process_time()

    @classmethod
    def since(cls, start: tuple[float, float], chips: int) -> "Pace":
        """Return the pace of so many chips done since then."""
        passed_s, busy_s = (now - then for now, then in zip(cls.clock(), start, strict=True))
        return cls(chips / passed_s, 1000 * busy_s / chips)


def colour_at(row: int, column: int) -> int:
    """Return which colour a block has."""
    return (row + 2 * column) % len(COLOURS)


def write_scene(path: Path, side_px: int) -> Path:
    """Write blocks of one colour with grain on them, four bands with names, in tiles of 512 px."""
    form = {"width": side_px, "height": side_px, "count": 4, "dtype": "uint8", "crs": "EPSG:32637"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    random = np.random.default_rng(0)
    place = from_origin(500_000, 5_000_000, 0.3, 0.3)
    with rasterio.open(path, "w", driver="GTiff", transform=place, photometric="MINISBLACK", **form, **tiles) as scene:  # fmt: skip  # noqa: E501
        scene.descriptions = ("red", "green", "blue", "nir")
        for row in range(-(-side_px // BLOCK_PX)):
            colours = [colour_at(row, column) for column in range(-(-side_px // BLOCK_PX))]
            line_WC = COLOURS[colours].repeat(BLOCK_PX, 0)[:side_px]
            height = min(BLOCK_PX, side_px - row * BLOCK_PX)
            grain_HWC = random.integers(0, 10, (height, *line_WC.shape), np.uint8)
            window = Window(0, row * BLOCK_PX, side_px, height)
            scene.write(np.moveaxis(line_WC + grain_HWC, -1, 0), window=window)
    return path


def mapped(crew: Crew[Ensemble], bundle: Bundle, scene: Path, folder: Path) -> Pace:
    """Map a scene into a journal."""
    spec = bundle.manifest.input
    grid = Grid(open_scene(str(scene), spec), spec)
    journal, start = Journal(folder), Pace.clock()
    with journal.opened({}):
        for _ in label_windows(crew, bundle, spec, [grid], Wishes(), journal, processors()):
            pass
        journal.remove()
    return Pace.since(start, len(grid))


def bare(loop: BareLoop, chips_BHWC: npt.NDArray[np.uint8]) -> Pace:
    """Run the members alone for a while."""
    start, count = Pace.clock(), 0
    while perf_counter() - start[0] < SECONDS:
        loop.run(chips_BHWC)
        count += len(chips_BHWC)
    return Pace.since(start, count)


def chips_of(scene: Path, bundle: Bundle) -> npt.NDArray[np.uint8]:
    """Return a batch of a scene's chips (B,H,W,C)."""
    spec = bundle.manifest.input
    found = [chip for _, chip in read_chips(Grid(open_scene(str(scene), spec), spec), spec, 1)]
    return np.stack([chip for chip in found[:BATCH] if not isinstance(chip, ServiceError)])


def speed(bundle: Bundle, scene: Path, folder: Path, rounds: int) -> None:
    """Print windows per second beside the bare loop's chips per second."""
    with open_crew(bundle, Settings(device="cpu"), all_members=True) as crew:
        precision = crew.voter.precision
        graphs = [bundle.graph_path(member, precision) for member in bundle.manifest.members]
        chips_BHWC = chips_of(scene, bundle)
        loops = [BareLoop(graphs, way) for way in ways(processors())]
        best = max(loops, key=lambda loop: loop.rate(chips_BHWC, SECONDS))
        loops.clear()
        kinds = (f"{who}, {what}" for what in ("per s", "CPU ms each") for who in ("bare", "scene"))
        table, shares = Table("round", *kinds), []
        for number in range(1, rounds + 1):
            before, found = bare(best, chips_BHWC), mapped(crew, bundle, scene, folder / "journal")
            after = bare(best, chips_BHWC)
            per_s, cpu_ms = (before.per_s + after.per_s) / 2, (before.cpu_ms + after.cpu_ms) / 2
            shares.append((found.per_s / per_s, cpu_ms / found.cpu_ms))
            figures = (per_s, found.per_s, cpu_ms, found.cpu_ms)
            table.add_row(str(number), *(f"{figure:.1f}" for figure in figures))
    by_clock, by_cpu = np.median(shares, axis=0)
    print(f"{precision}; {best.name}; median share {by_clock:.2f}, of the processors' time {by_cpu:.2f}")
    Console().print(table)


def whole(bundle: Path, scene: Path, out: Path) -> None:
    """Map a scene by the command in a process of its own; print its time and its largest memory."""
    command: list[str | Path] = [
        sys.executable,
        "-c",
        "from service.cli import main; main()",
        "map",
        scene,
        "--out",
        out,
    ]
    began_s, most = perf_counter(), 0
    environment = {**os.environ, "CHIPVOTE_DEVICE": "cpu"}
    with psutil.Popen([*command, "--bundle", bundle, "--resolution", "0.3"], env=environment) as process:
        while process.poll() is None:
            most = max(most, process.memory_info().rss)
            sleep(POLL_S)
    assert process.returncode == 0
    rows, passed_s = pq.read_metadata(out).num_rows, perf_counter() - began_s
    print(
        f"{bundle.name}: {rows:,} windows in {passed_s:.0f} s with start, {rows / passed_s:.0f}/s, at most "
        f"{most / MIB:.0f} MiB of memory"
    )


def main() -> None:
    """Print a table and two lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=SHIPPED)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only-speed", action="store_true", help="no whole scenes")
    parser.add_argument("--side", type=int, default=10_000, help="of the whole scene, in pixels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        part = write_scene(folder / "part.tif", PART_PX)
        speed(load(arguments.bundle), part, folder, arguments.rounds)
        if arguments.only_speed:
            return
        scene, out = write_scene(folder / "scene.tif", arguments.side), folder / "map.parquet"
        whole(arguments.bundle, scene, out)
        tiny = make_bundle(folder / "colours").folder
        whole(tiny, scene, out)
        rows = pq.read_table(out, columns=["row", "column", "labels"]).to_pylist()
        inside = [
            row for row in rows if not (row["row"] % SIZE_PX or row["column"] % SIZE_PX)
        ]  # those moved in at the edges may lie on two blocks
        right = sum(
            row["labels"] == LABELS[colour_at(row["row"] // BLOCK_PX, row["column"] // BLOCK_PX)]
            for row in inside
        )
        print(f"{right:,} of {len(inside):,} windows are called by the colour of their block")


if __name__ == "__main__":
    main()
