"""The bundles that are served."""

import io
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("onnx")

from benchmarks.harness.bundles import free_bundle, opened, repeated
from benchmarks.harness.chips import labelled, photo
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


def test_a_bundle_is_opened_at_the_precision_that_is_asked_for(tmp_path: Path) -> None:
    free_bundle(tmp_path)
    for choice in (f"{tmp_path}", f"{tmp_path}:float32"):
        bundle, precision = opened(choice)
        assert (bundle.manifest.name, precision) == ("free", "float32")
    with pytest.raises(SystemExit, match="has float32 for the CPU, not int8"):
        opened(f"{tmp_path}:int8")


def test_a_chip_of_another_size_is_brought_into_shape() -> None:
    stream = io.BytesIO()
    Image.new("L", (250, 257)).save(stream, "JPEG")
    assert decode(stream.getvalue()).shape == (256, 256, 3)
