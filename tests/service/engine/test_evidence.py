"""Where a label's evidence lies: the arithmetic, and through HTTP with the default bundle."""

import httpx2
import numpy as np
import pytest
from PIL import Image

from service.contract import bundle
from service.contract.chips.decode import decode_chip
from service.contract.onnx_runtime import needs_exact, open_session
from service.engine.evidence import averaged, counting, resampled
from tests.kit.serving import DEFAULT_BUNDLE, SAMPLE_CHIP

SAMPLE = SAMPLE_CHIP.read_bytes()
JPEG = {"content-type": "image/jpeg"}


def test_maps_of_one_size_are_averaged_by_weight() -> None:
    maps = [np.full((2, 2), value, np.float32) for value in (1, 2, 6)]
    assert averaged(maps, np.array([1, 0, 3])).tolist() == [[4.75, 4.75], [4.75, 4.75]]


def test_another_size_keeps_the_mean_and_agrees_with_pillow_inside() -> None:
    small = np.random.default_rng(1).normal(size=(5, 5)).astype(np.float32)
    large = resampled(small, (8, 8))
    assert large.mean() == pytest.approx(small.mean(dtype=np.float64))
    reference = np.asarray(Image.fromarray(small).resize((8, 8), Image.Resampling.BILINEAR))
    shift = large.mean() - reference.mean()
    np.testing.assert_allclose(large, reference + shift, atol=1e-5)


def test_members_in_favour_count_and_otherwise_all() -> None:
    probs = np.array([0.9, 0.1, 0.6], np.float32)
    assert counting(probs, [0.5, 0.5, 0.6], [2, 1, 1]).tolist() == [2, 0, 1]
    assert counting(probs, [0.95, 0.95, 0.95], [2, 1, 1]).tolist() == [2, 1, 1]
    assert counting(probs, [], []).tolist() == [1, 1, 1]


def test_evidence_is_the_average_of_the_members_that_voted(default_client: httpx2.Client) -> None:
    answer = default_client.post("/predict?evidence=true&members=true", content=SAMPLE, headers=JPEG).json()
    (prediction,) = answer["predictions"]
    loaded = bundle.load(DEFAULT_BUNDLE)
    precision = default_client.get("/model").json()["precision"]
    chips = decode_chip(SAMPLE, loaded.manifest.input)[np.newaxis]
    runs = [
        open_session(
            loaded.graph_path(member, precision),
            exact=needs_exact(member.graphs[precision].bounded, precision),
        ).run(["probabilities", "evidence"], {"chips": chips})
        for member in loaded.manifest.members
    ]
    assert prediction["labels"]
    assert {score["label"] for score in prediction["scores"] if "evidence" in score} == set(
        prediction["labels"]
    )
    for label, score in enumerate(prediction["scores"]):
        probs = [float(probabilities[0, label]) for probabilities, _ in runs]
        assert score["members"] == pytest.approx(probs, abs=1e-3)
        if "evidence" in score:
            assert len(score["evidence"]) == 8
            thresholds = loaded.manifest.decision.label_thresholds(label)
            weights = loaded.manifest.decision.label_weights(label)
            use = [w * (p >= t) for w, p, t in zip(weights, probs, thresholds, strict=True)]
            means = [float(maps[0, label].mean()) for _, maps in runs]
            assert np.mean(score["evidence"]) == pytest.approx(np.average(means, weights=use), abs=0.02)


def test_a_closer_look_changes_no_answer(default_client: httpx2.Client) -> None:
    plain = default_client.post("/predict", content=SAMPLE, headers=JPEG).json()
    close = default_client.post("/predict?members=true&evidence=true", content=SAMPLE, headers=JPEG).json()
    for score in close["predictions"][0]["scores"]:
        score.pop("members")
        score.pop("evidence", None)
    assert [s["votes"] for s in close["predictions"][0]["scores"]] == [
        s["votes"] for s in plain["predictions"][0]["scores"]
    ]
    assert close["predictions"][0]["labels"] == plain["predictions"][0]["labels"]
    assert all(
        score.keys() == {"label", "probability", "votes", "predicted"}
        for score in plain["predictions"][0]["scores"]
    )


def test_a_flag_that_is_none_is_refused(default_client: httpx2.Client) -> None:
    answer = default_client.post("/predict?evidence=maybe", content=SAMPLE, headers=JPEG)
    assert answer.status_code == 422
    assert answer.json()["title"] == "Invalid parameter"
    assert "evidence=maybe" in answer.json()["detail"]
