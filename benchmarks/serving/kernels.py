"""What a chip costs on this processor: every member at every precision, on one thread, in turns.

    python -m benchmarks.serving.kernels [FOLDER] [--chips N]

int8 with the kernels that ONNX Runtime takes, and with exact ones, which a bundle that is not
bounded needs on a processor without VNNI; float32 of the same architecture with random weights,
which cost the same. Says whether the processor cuts sums of 8-bit products off, and on how many
chips both kinds of kernels differ by a bit.

Shape suffixes: B chips, H height, W width, C bands, S sessions.
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from benchmarks.harness.data import data_folder
from benchmarks.harness.random_bundle import input_spec, random_net
from service.contract.bundle import Bundle, load
from service.contract.chips.decode import decode_chip
from service.contract.manifest import EVIDENCE, INPUT, PROBABILITIES, Member, Pixel
from service.contract.onnx_runtime import open_session, saturates
from service.contract.processors import processor_kind
from training.export.graphs import write_float32

SHIPPED = Path("models/uc-merced")
WARM = 2  # chips whose time does not count


def chips(bundle: Bundle, count: int) -> npt.NDArray[Pixel]:
    """Return so many chips (B,H,W,C), spread over the data set."""
    files = sorted((data_folder("ucmerced") / "chips").iterdir())
    chosen = files[:: max(1, len(files) // count)][:count]
    return np.stack([decode_chip(file.read_bytes(), bundle.manifest.input) for file in chosen])


def sessions(bundle: Bundle, member: Member, folder: Path) -> list[ort.InferenceSession]:
    """Open a member: int8, int8 with exact kernels, float32."""
    int8, float32 = bundle.graph_path(member, "int8"), folder / f"{member.name}.onnx"
    side_px = bundle.manifest.input.height
    write_float32(random_net(member.architecture, side_px), input_spec(side_px), float32)
    return [
        open_session(int8, threads=1),
        open_session(int8, threads=1, exact=True),
        open_session(float32, threads=1),
    ]


def measure(
    opened: list[ort.InferenceSession], chips_BHWC: npt.NDArray[Pixel]
) -> tuple[npt.NDArray[np.float64], int]:
    """Run each chip by every session in turn.

    Returns:
        Milliseconds (B,S), and on how many chips int8's two kinds of kernels differ.
    """
    ms_BS, differ = np.empty((len(chips_BHWC), len(opened))), 0
    for row, chip_HWC in enumerate(chips_BHWC):
        found = []
        for column, session in enumerate(opened):
            began_s = perf_counter()
            found.append(session.run([PROBABILITIES, EVIDENCE], {INPUT: chip_HWC[None]}))
            ms_BS[row, column] = 1000 * (perf_counter() - began_s)
        differ += not all(np.array_equal(*pair) for pair in zip(*found[:2], strict=True))
    return ms_BS[WARM:], differ


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=SHIPPED)
    parser.add_argument("--chips", type=int, default=42)
    arguments = parser.parse_args()
    bundle = load(arguments.bundle)
    chips_BHWC = chips(bundle, arguments.chips)
    print(f"{processor_kind()}; sums of 8-bit products are {'cut off' if saturates() else 'exact'}")
    print("member             int8 ms  exact ms  float32 ms  float32/int8  chips that differ")
    with tempfile.TemporaryDirectory() as folder:
        for member in bundle.manifest.members:
            ms_BS, differ = measure(sessions(bundle, member, Path(folder)), chips_BHWC)
            ratio = float(np.median(ms_BS[:, 2] / ms_BS[:, 0]))
            medians = "{:9.1f} {:9.1f} {:11.1f}".format(*np.median(ms_BS, axis=0))
            print(f"{member.name:16} {medians} {ratio:13.2f} {differ:11} of {len(chips_BHWC)}", flush=True)


if __name__ == "__main__":
    main()
