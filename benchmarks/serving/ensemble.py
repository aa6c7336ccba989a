"""How fast is a whole ensemble served? This service and its peers with a real bundle.

    python -m benchmarks.serving.ensemble [--ours FOLDER[:PRECISION]] [--peers FOLDER[:PRECISION]]
                                          [--chips FOLDER] [--env CHIPVOTE_X=Y …] [--connections C]
                                          [--only NAME …]

Each request is one JPEG, so requests are chips. This service may run another bundle, other graphs
or other settings than the peers; which, stands in the results. Every server must first give the
labels that its own bundle's graphs and rule give each chip. The client is wrk with one thread on
the same machine, one server runs at a time. Without `--chips`, chips are generated.

Needs wrk, and `make peers` for the peers. Every run's figures go to
`benchmarks/results/ensemble.json` unless `--only` leaves some out.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.harness.bundles import SHIPPED, described, opened
from benchmarks.harness.chips import labelled, photo
from benchmarks.harness.comparison import machine, measure, print_table, require_peers, write
from benchmarks.harness.contenders import OURS, PEERS, PYTHON, ours, peer
from benchmarks.harness.load import require_wrk
from benchmarks.harness.servers import Chip, Server

MOST_CHIPS = 16


def pictures(folder: Path | None) -> list[bytes]:
    """Return up to `MOST_CHIPS` JPEGs spread over a folder, or generated ones."""
    if folder is None:
        return [photo(seed) for seed in range(MOST_CHIPS)]
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        sys.exit(f"{folder} holds no .jpg files")
    return [file.read_bytes() for file in files[:: -(-len(files) // MOST_CHIPS)]]


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, who in (("--ours", "this service serves"), ("--peers", "the peers serve")):
        text = f"what {who}; default: the shipped bundle"
        parser.add_argument(name, default=SHIPPED, metavar="FOLDER[:PRECISION]", help=text)
    parser.add_argument(
        "--env", nargs="+", default=[], metavar="CHIPVOTE_X=Y", help="this service's settings"
    )
    parser.add_argument("--chips", type=Path, help="folder of JPEG chips")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5, help="shortest length of one load")
    parser.add_argument(
        "--least", type=int, default=200, help="requests that one load answers at least, about"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[OURS, *PEERS], metavar="NAME")
    parser.add_argument("--peers-python", type=Path, default=PYTHON, help="interpreter of the peers")
    return parser.parse_args()


def main() -> None:
    """Print one table."""
    arguments = parsed()
    require_wrk()
    environment = dict(setting.split("=", 1) for setting in arguments.env)
    names = arguments.only or [OURS, *PEERS]
    if not require_peers(arguments.peers_python):
        names = [OURS]
    (our_bundle, our_precision), (their_bundle, their_precision) = map(
        opened, (arguments.ours, arguments.peers)
    )
    with tempfile.TemporaryDirectory() as name:
        jpegs = pictures(arguments.chips)
        our_chips = labelled(our_bundle, our_precision, jpegs, Path(name) / "ours")
        their_chips = labelled(their_bundle, their_precision, jpegs, Path(name) / "peers")
        servers: list[tuple[Server, list[Chip]]] = []
        for name in names:
            if name == OURS:
                servers.append((ours(our_bundle.folder, our_precision, environment), our_chips))
            else:
                settings = PEERS[name].ensemble
                python, folder = arguments.peers_python, their_bundle.folder
                servers.append((peer(name, python, folder, their_precision, settings), their_chips))
        connections = [arguments.connections]
        options = {"rounds": arguments.rounds, "seconds": arguments.seconds, "least": arguments.least}
        runs = measure(servers, connections, **options)
    print_table(runs, connections)
    if not arguments.only:
        facts = {
            "machine": machine(arguments.peers_python),
            "ours": {**described(our_bundle, our_precision), "environment": environment},
            "peers": described(their_bundle, their_precision),
            "chips": "given" if arguments.chips else "generated",
            "settings": {name: dict(PEERS[name].ensemble) for name in PEERS},
            **options,
        }
        write("ensemble", facts, runs)


if __name__ == "__main__":
    main()
