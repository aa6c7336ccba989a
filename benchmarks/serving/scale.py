"""What does a region take? Chips/s of `chipvote score` here → hours, machines, money, energy.

    python -m benchmarks.serving.scale [FOLDER] [--chips N] [--region CHIPS] [--resolution M]
                                       [--price $] [--watts W] [--rate CHIPS/S]

The rate is measured, or taken from `--rate` where it was measured elsewhere: N chips that look like
photographs are labelled from a list into Parquet, with start, decoding and writing; the second half
of them is timed. All else is derived from it and from what is assumed: what a processor costs an
hour and takes in watts, with its part of the machine. The region is the Amazon basin by default, in
chips of the 2017 contest's ground resolution.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.harness.chips import photo
from service.contract.processors import processor_kind, processors
from service.offline.bulk.scoring import Job, begun
from service.settings import Settings

BASIN_CHIPS, RESOLUTION_M, CHIP_PX = 7_500_000, 3.7, 256
PRICE, WATTS = 0.04, 8.0  # of a processor: an hour on demand, in dollars; under load, with its memory
HOUR_S, DAY_H = 3600, 24
PHOTOS = 200  # different ones; decoding does not remember
LEAST = 1000  # chips: rows come in hundreds


class Needs(NamedTuple):
    """What a number of chips takes."""

    processor_hours: float
    money: float
    kwh: float


def rate_here(bundle: Path | None, chips: int, all_members: bool) -> float:
    """Return chips per second of a bulk run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(PHOTOS):
            (folder / f"{seed}.jpg").write_bytes(photo(seed))
        table = folder / "chips.csv"
        table.write_text("path\n" + "".join(f"{each % PHOTOS}.jpg\n" for each in range(chips)))
        settings = Settings(bundle=bundle) if bundle else Settings()
        job = Job(
            source=str(table), out=folder / "out", settings=settings, all_members=all_members, each_copy=True
        )
        with begun(job) as run:
            began_s, half = 0.0, chips // 2
            for count, row in enumerate(run.rows(), 1):
                assert row.verdict, row.reason
                if count == half:
                    began_s = time.perf_counter()
            return (chips - half) / (time.perf_counter() - began_s)


def needs(chips: float, chips_per_s: float, price: float, watts: float) -> Needs:
    """Derive what chips take at so many a second on one processor."""
    hours = chips / chips_per_s / HOUR_S
    return Needs(hours, hours * price, hours * watts / 1000)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("--chips", type=int, default=2000)
    parser.add_argument("--all-members", action="store_true", help="do not stop early")
    parser.add_argument("--region", type=int, default=BASIN_CHIPS, help="chips")
    parser.add_argument("--resolution", type=float, default=RESOLUTION_M, help="metres a pixel")
    parser.add_argument("--price", type=float, default=PRICE, help="dollars for a processor and hour")
    parser.add_argument("--watts", type=float, default=WATTS, help="of a processor under load")
    parser.add_argument("--rate", type=float, help="chips/s of one processor, instead of a measurement")
    arguments = parser.parse_args()
    if arguments.chips < LEAST:
        parser.error(f"--chips {arguments.chips}: {LEAST} at least")
    count = 1 if arguments.rate else processors()
    rate = arguments.rate or rate_here(arguments.bundle, arguments.chips, arguments.all_members)
    per_processor = rate / count
    chip_km2 = (CHIP_PX * arguments.resolution / 1000) ** 2
    million = needs(1e6, per_processor, arguments.price, arguments.watts)
    region = needs(arguments.region, per_processor, arguments.price, arguments.watts)
    table = Table("what", "", "how", title="a rate from elsewhere" if arguments.rate else processor_kind())
    for row in (
        ("chips/s", f"{rate:.1f}", "given" if arguments.rate else f"measured, {count} processor(s)"),
        ("chips/s of one processor", f"{per_processor:.2f}", "derived"),
        (
            f"km²/s of one processor at {arguments.resolution:g} m",
            f"{per_processor * chip_km2:.2f}",
            "derived",
        ),
        ("a million chips: processor-hours", f"{million.processor_hours:.1f}", "derived"),
        ("a million chips: dollars", f"{million.money:.2f}", f"{arguments.price:g} an hour assumed"),
        ("a million chips: kWh", f"{million.kwh:.2f}", f"{arguments.watts:g} W assumed"),
        (f"{arguments.region:,} chips: km²", f"{arguments.region * chip_km2:,.0f}", "derived"),
        ("  processor-hours", f"{region.processor_hours:,.0f}", "derived"),
        ("  dollars, kWh", f"{region.money:,.2f}, {region.kwh:,.1f}", "derived"),
        ("  processors for a day of work", f"{region.processor_hours / DAY_H:.1f}", "derived"),
    ):
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
