"""All that needs a GPU: parity, speed, latency, memory, PyTorch beside it. Nine minutes, offline.

    python -m benchmarks.serving.gpu [--wheels DIR] [--bundle DIR]
                                     [--device cpu --members 3 --quick]

Every part prints one table and runs in a process of its own, for no longer than its time; one that
fails loses only itself, and the script ends with 1. Figures go to `benchmarks/results/gpu.json`.

Without `--bundle` the members are made here: real networks with random weights. `--wheels` installs
the wheels of a folder for this run alone, such as onnxruntime-gpu where no index can be reached;
the CUDA libraries come from PyTorch's packages. Without a GPU, `--device cpu` runs the same code.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

from service.contract.processors import processor_kind

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
ARCHITECTURES = ("resnet50", "densenet121", "inception_v3")
LIMITS_S = {"parity": 60, "offline": 120, "latency": 40, "served": 110, "memory": 55, "pytorch": 95}
MAKING_S = 60  # the bundle
ENDING_S = 20  # a part that is stopped, its server included
CPU_PATIENCE = 5  # times as long, where a CPU tries the script out


def environment(wheels: Path | None, scratch: Path) -> dict[str, str]:
    """Return an environment in which CUDA's libraries and the wheels are found."""
    paths = [str(ROOT)]
    if wheels:
        site = scratch / "site"
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--no-compile",
        ]
        files = sorted(map(str, wheels.glob("*.whl")))
        subprocess.run([*command, "--target", str(site), *files], check=True)
        paths.insert(0, str(site))
    nvidia = find_spec("nvidia")
    roots = list(nvidia.submodule_search_locations or ()) if nvidia else []
    libraries = [str(folder) for root in roots for folder in sorted(Path(root).glob("*/lib"))]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]),
    }


def run_part(name: str, arguments: argparse.Namespace, scratch: Path) -> None:
    """Do one part's work in this process and write each row as it comes."""
    from benchmarks.harness import gpu_parts
    from benchmarks.harness.random_bundle import make_bundle
    from benchmarks.harness.servers import stop_cleanly
    from service.contract import bundle

    stop_cleanly()
    folder = arguments.bundle or scratch / "bundle"
    if name == "making":
        make_bundle(folder, arguments.architectures, arguments.members, arguments.side)
        return
    manifest = bundle.load(folder).manifest
    task = gpu_parts.Task(
        folder=folder.absolute(),
        device=arguments.device,
        architectures=tuple(arguments.architectures),
        members=len(manifest.members),
        side_px=manifest.input.height,
        max_batch=arguments.max_batch,
        seconds=0.2 if arguments.quick else 1.0,
    )
    with (scratch / f"{name}.jsonl").open("w") as stream:
        for row in gpu_parts.PARTS[name](task):
            print(json.dumps(row), file=stream, flush=True)


def call_part(name: str, limit_s: float, scratch: Path, env: dict[str, str]) -> str:
    """Run one part in a process of its own; return what went wrong, or nothing."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.serving.gpu",
        *sys.argv[1:],
        "--part",
        name,
        "--scratch",
        str(scratch),
    ]
    # A session of its own: the processes that it forks must end with it. A server it stops itself.
    process = subprocess.Popen(command, env=env, cwd=ROOT, start_new_session=True)
    try:
        failed = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        end(process)
        return f"stopped after {limit_s:.0f} s"
    return f"ended with {failed}" if failed else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a part to end, then kill it. Without psutil, which may be one of the wheels."""
    for number, patience_s in ((signal.SIGTERM, ENDING_S), (signal.SIGKILL, None)):
        with suppress(subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(patience_s)
            return


def rows_of(name: str, scratch: Path) -> list[dict[str, str | float]]:
    """Read what a part has measured, all or some of it."""
    path = scratch / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: Sequence[dict[str, str | float]]) -> str:
    """Lay rows out under their titles."""
    titles = list(rows[0]) if rows else []
    cells = [titles] + [[_text(row.get(title, "")) for title in titles] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
    )


def _text(cell: str | float) -> str:
    return cell if isinstance(cell, str) else f"{cell:.4g}" if cell < 1000 else f"{cell:.0f}"


def machine(device: str, env: dict[str, str]) -> dict[str, str]:
    """Return what the figures hold for."""
    script = "import onnxruntime as o, torch as t; print(o.__version__, t.__version__)"
    versions = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    runtime, torch = versions.stdout.split()
    facts = {"cores": str(os.cpu_count()), "python": platform.python_version()}
    facts |= {"onnxruntime": runtime, "torch": torch, "device": processor_kind()}
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        facts["device"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    return facts


def parser() -> argparse.ArgumentParser:
    """Return the command line's."""
    parsed = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parsed.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parsed.add_argument("--wheels", type=Path, help="folder of wheels to use")
    parsed.add_argument(
        "--bundle", type=Path, help="a bundle with float32 and float16 graphs of uint8 RGB chips"
    )
    parsed.add_argument("--members", type=int, default=15)
    parsed.add_argument("--architectures", nargs="+", default=ARCHITECTURES, help="timm names, by turns")
    parsed.add_argument("--parts", nargs="+", choices=LIMITS_S, default=list(LIMITS_S))
    parsed.add_argument("--quick", action="store_true", help="small chips and batches, short turns")
    parsed.add_argument("--results", type=Path, default=RESULTS, help="where to write the figures")
    parsed.add_argument("--part", help=argparse.SUPPRESS)
    parsed.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    return parsed


def main() -> None:
    """Print one table for each part."""
    arguments = parser().parse_args()
    arguments.side, arguments.max_batch = (96, 4) if arguments.quick else (256, 64)
    if arguments.part:
        run_part(arguments.part, arguments, arguments.scratch)
        return
    if arguments.device == "cuda" and shutil.which("nvidia-smi") is None:
        print("skipped: no NVIDIA GPU here; --device cpu --members 3 --quick tries the script out")
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch, failures = Path(folder), {}
        env = environment(arguments.wheels, scratch)
        facts = machine(arguments.device, env)
        print(", ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
        figures: dict[str, object] = {"machine": facts, "members": arguments.members}
        making = [] if arguments.bundle else ["making"]
        patience = CPU_PATIENCE if arguments.device == "cpu" else 1
        for name in [*making, *arguments.parts]:
            began = monotonic()
            failed = call_part(name, patience * LIMITS_S.get(name, MAKING_S), scratch, env)
            rows = rows_of(name, scratch)
            figures[name] = rows
            print(f"\n== {name} ({monotonic() - began:.0f} s)\n{table(rows)}", flush=True)
            if failed:
                failures[name] = failed
                print(f"{name}: {failed}", flush=True)
        figures["failures"] = failures
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
