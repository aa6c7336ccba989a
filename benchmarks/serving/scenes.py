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
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
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
PART_PX = 16 * 256
COLOURS = np.array([[*colour, 0] for colour in (RED, GREEN, BLUE, BLACK)], np.uint8)
BATCH, SECONDS = 32, 4.0
KIB_PER_MIB = 1024


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


def mapped(crew: Crew[Ensemble], bundle: Bundle, scene: Path, folder: Path) -> float:
    """Map a scene into a journal; return windows per second."""
    spec = bundle.manifest.input
    grid = Grid(open_scene(str(scene), spec), spec)
    journal = Journal(folder)
    began_s = perf_counter()
    with journal.opened({}):
        for _ in label_windows(crew, bundle, spec, [grid], Wishes(), journal, processors()):
            pass
        journal.remove()
    return len(grid) / (perf_counter() - began_s)


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
        table = Table(
            "round", "bare, chips/s", "scene, windows/s", "share", title=f"{precision}; {best.name}"
        )
        shares = []
        for number in range(1, rounds + 1):
            before = best.rate(chips_BHWC, SECONDS)
            found = mapped(crew, bundle, scene, folder / "journal")
            bare = (before + best.rate(chips_BHWC, SECONDS)) / 2
            shares.append(found / bare)
            table.add_row(str(number), f"{bare:.1f}", f"{found:.1f}", f"{shares[-1]:.2f}")
    Console().print(table, f"median share {np.median(shares):.2f}")


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
    began_s = perf_counter()
    process = subprocess.Popen(
        [*command, "--bundle", bundle, "--resolution", "0.3"], env={**os.environ, "CHIPVOTE_DEVICE": "cpu"}
    )
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    rows = pq.read_metadata(out).num_rows
    passed_s = perf_counter() - began_s
    print(
        f"{bundle.name}: {rows:,} windows in {passed_s:.0f} s with start, {rows / passed_s:.0f}/s, at most "
        f"{used.ru_maxrss / KIB_PER_MIB:.0f} MiB of memory"
    )


def main() -> None:
    """Print a table and two lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=SHIPPED)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=10_000, help="of the whole scene, in pixels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        part = write_scene(folder / "part.tif", PART_PX)
        speed(load(arguments.bundle), part, folder, arguments.rounds)
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
