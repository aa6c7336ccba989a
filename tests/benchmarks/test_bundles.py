"""The bundle that costs nothing, and the chips made for it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")

from benchmarks._bundles import free_bundle, labelled, photo, repeated
from benchmarks.peers.common import Model, Settings, decode
from service.engine.ensemble import Ensemble


def test_the_bundle_gives_its_golden_answers_and_peers_give_the_services(tmp_path: Path) -> None:
    bundle = free_bundle(tmp_path / "bundle")
    Ensemble(bundle, "cpu").self_test()
    chips = labelled(bundle, "float32", [photo(seed) for seed in range(4)], tmp_path / "chips")
    assert len({frozenset(chip.labels) for chip in chips}) == 4, "answers must tell chips apart"
    settings = Settings(bundle=tmp_path / "bundle", precision="float32", threads=1)
    answers = Model(settings).answers([decode(chip.file.read_bytes()) for chip in chips])
    assert [set(answer["labels"]) for answer in answers] == [chip.labels for chip in chips]
    assert all(set(answer["probabilities"]) == set(bundle.label_names) for answer in answers)


def test_a_bundle_of_repeated_members_votes_as_they_do(tmp_path: Path) -> None:
    bundle = free_bundle(tmp_path / "bundle")
    larger = repeated(bundle, [0, 0, 0], "float32", tmp_path / "larger")
    ensemble = Ensemble(larger, "cpu")
    ensemble.self_test()
    chips_GHWC = bundle.golden.chips_GHWC
    assert ensemble.probabilities(chips_GHWC).shape[0] == 3
    votes, single = ensemble.vote(chips_GHWC), Ensemble(bundle, "cpu").vote(chips_GHWC)
    assert [vote.predicted for vote in votes] == [vote.predicted for vote in single]


def test_chips_look_like_photographs() -> None:
    jpeg = photo(3)
    assert jpeg == photo(3) != photo(4)
    assert 15_000 <= len(jpeg) <= 20_000
    grey_HW = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), float)
    power_HW = np.abs(np.fft.fft2(grey_HW - grey_HW.mean())) ** 2
    frequency_HW = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    bands = [(frequency_HW >= low) & (frequency_HW < 2 * low) for low in 2.0 ** np.arange(-7, -1)]
    # A photograph's power falls with about the square of the frequency; white noise has as much everywhere.
    slope = np.polyfit(np.arange(6), [np.log2(power_HW[band_HW].mean()) for band_HW in bands], 1)[0]
    assert -4 < slope < -1


def test_a_chip_of_another_size_is_brought_into_shape() -> None:
    stream = io.BytesIO()
    Image.new("L", (250, 257)).save(stream, "JPEG")
    assert decode(stream.getvalue()).shape == (256, 256, 3)
