"""What does a server add to a model? This service and its peers around a graph that costs nothing.

    python -m benchmarks.serving.overhead [--seconds S] [--rounds R] [--only NAME …]
                                          [--lend-decoder]

Every server decodes the same JPEG, the peers with Pillow as their users do or with this service's
own decoder (`--lend-decoder`, which leaves nothing but the servers to differ; BentoML opens
pictures itself, so with Pillow), runs the same graph in ONNX Runtime, decides alike and answers
JSON; the client is wrk with one thread on the same machine, one server runs at a time. Needs wrk,
and `make peers` for the peers. Every run's figures go to `benchmarks/results/overhead.json` (or
`overhead-lent.json`) unless `--only` leaves some out.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.harness.bundles import free_bundle
from benchmarks.harness.chips import labelled, photo
from benchmarks.harness.comparison import machine, measure, print_table, require_peers, write
from benchmarks.harness.contenders import OURS, PEERS, PYTHON, ours, peer
from benchmarks.harness.load import require_wrk
from benchmarks.harness.servers import Server

CONNECTIONS = (1, 16, 64)
CHIPS = 8


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="length of one load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[OURS, *PEERS], metavar="NAME")
    parser.add_argument("--lend-decoder", action="store_true", help="the peers decode as this service does")
    parser.add_argument("--peers-python", type=Path, default=PYTHON, help="interpreter of the peers")
    arguments = parser.parse_args()
    require_wrk()
    names = arguments.only or [OURS, *PEERS]
    if not require_peers(arguments.peers_python):
        names = [OURS]
    decoder = "chipvote" if arguments.lend_decoder else "pillow"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = free_bundle(folder / "bundle")
        chips = labelled(bundle, "float32", [photo(seed) for seed in range(CHIPS)], folder)
        servers: list[Server] = []
        for name in names:
            if name == OURS:
                servers.append(ours(bundle.folder, "float32", {}))
            else:
                settings = {**PEERS[name].overhead, "decoder": decoder}
                servers.append(peer(name, arguments.peers_python, bundle.folder, "float32", settings))
        runs = measure(
            [(server, chips) for server in servers],
            CONNECTIONS,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
        )
    print_table(runs, CONNECTIONS)
    if not arguments.only:
        settings_of = {name: dict(PEERS[name].overhead) for name in PEERS}
        facts = {
            "machine": machine(arguments.peers_python),
            "seconds": arguments.seconds,
            "settings": settings_of,
        }
        write("overhead-lent" if arguments.lend_decoder else "overhead", facts, runs)


if __name__ == "__main__":
    main()
