"""Does the running service set the labels that the offline evaluation sets, chip by chip?

    python -m benchmarks.agreement [BUNDLE]

Scores the bundle offline on all UC Merced chips, then starts `chipvote serve` and posts every
chip to it, once alone in a request and once among many, and counts the chips whose label
sets differ. Any difference ends with exit status 1.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2

from benchmarks._data import data_folder
from service.contract.bundle import load
from service.contract.manifest import Precision
from training.evaluation.score import score
from training.run.folder import Source
from training.run.progress import track

PER_REQUEST = 64
TIMEOUT_S = 120


def offline_labels(bundle: Path, data: Path) -> dict[str, set[str]]:
    """Return the label set of every chip, from ONNX Runtime without a server."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "labels.csv"
        loaded = load(bundle)
        precision: Precision = "int8" if "int8" in loaded.manifest.precisions else "float32"
        score(loaded, Source(data=data), precision, out)
        with out.open(newline="") as stream:
            return {row["image_name"]: set(row["tags"].split()) for row in csv.DictReader(stream)}


def served_labels(client: httpx2.Client, files: list[Path]) -> dict[str, set[str]]:
    """Return the label sets that one request's answer gives."""
    form = [("chip", (file.name, file.read_bytes(), "image/jpeg")) for file in files]
    predictions = client.post("/predict", files=form).raise_for_status().json()["predictions"]
    return {Path(p["filename"]).stem: set(p["labels"]) for p in predictions}


def main() -> None:
    """Print how many chips agree."""
    bundle = Path(sys.argv[1] if len(sys.argv) > 1 else "models/uc-merced")
    data = data_folder("ucmerced")
    expected = offline_labels(bundle, data)
    files = [data / "chips" / f"{name}.jpg" for name in expected]
    chipvote = Path(sys.executable).with_name("chipvote")
    command = [str(chipvote), "serve", "--bundle", str(bundle), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr
        address = next(
            word.rstrip(",") for line in server.stderr for word in line.split() if word.startswith("http:")
        )
        differing = 0
        with httpx2.Client(base_url=address, timeout=TIMEOUT_S) as client:
            for size in (1, PER_REQUEST):
                requests = [files[start : start + size] for start in range(0, len(files), size)]
                served: dict[str, set[str]] = {}
                for request in track(requests, f"{size} per request", len(requests)):
                    served |= served_labels(client, request)
                wrong = sorted(name for name, labels in expected.items() if served[name] != labels)
                print(
                    f"{size:3} per request: {len(expected) - len(wrong)} of {len(expected)} chips agree",
                    flush=True,
                )
                differing += len(wrong)
        server.terminate()
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
