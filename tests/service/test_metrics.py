"""What is counted, seen as Prometheus sees it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.contract.errors import ChipError
from service.contract.rules import Blend, Rule
from service.engine import cuda
from service.metrics import ChipHistogram, Metrics
from service.settings import Settings
from tests.kit.fakes import (
    GREEN,
    LABELS,
    MAJORITY,
    MEMBERS,
    RED,
    FakeEnsemble,
    Linear,
    encoded,
    make_bundle,
    picture,
)
from tests.kit.serving import serving
from tests.service.engine.test_cuda import cudart_of

RED_PNG, GREEN_PNG = (encoded(picture(colour), "PNG") for colour in (RED, GREEN))


def split_members() -> list[Linear]:
    """Three members: all find red reddish; on green, two find a label, one of them another too."""
    bias_ML = np.array([[-9, 9, 9, -9], [-9, 9, -9, -9], [-9, -9, -9, -9]], np.float32)
    weights_CL = np.zeros((3, len(LABELS)), np.float32)
    weights_CL[0] = np.array([1, -1, -1, 0]) / 8
    return [Linear(weights_CL, bias_L) for bias_L in bias_ML]


@contextmanager
def split_service(
    folder: Path, *, rule: Rule = MAJORITY, early_exit: bool = False
) -> Iterator[httpx2.Client]:
    bundle = make_bundle(folder, members=split_members(), rule=rule)
    with serving(Settings(bundle=bundle.folder, device="cpu", early_exit=early_exit)) as client:
        yield client


def samples(client: httpx2.Client) -> dict[str, float]:
    """Every sample under its name and its labels' values, in the text's order."""
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def send(client: httpx2.Client, *files: bytes, explain: bool = False) -> None:
    chips = [("chip", ("a.png", file)) for file in files]
    assert client.post("/predict", files=chips, params={"members": explain}).status_code == 200


def test_two_services_in_one_process_do_not_share_counts() -> None:
    first, second = Metrics(), Metrics()
    first.predicted.labels("water").inc()
    assert first.registry.get_sample_value("chipvote_labels_predicted_total", {"label": "water"}) == 1
    assert second.registry.get_sample_value("chipvote_labels_predicted_total", {"label": "water"}) is None


def test_every_metric_is_ours_or_the_process() -> None:
    families = {family.name for family in Metrics().registry.collect()}
    assert all(name.startswith(("chipvote_", "process_")) for name in families)


def test_outcomes_are_exposed_before_the_first_chip() -> None:
    text = Metrics().exposition().decode()
    for outcome in ("answered", "refused", "failed"):
        assert f'chipvote_chips_total{{outcome="{outcome}"}} 0.0' in text


def test_refused_chips_are_told_apart_and_the_reasons_are_bounded(client: httpx2.Client) -> None:
    reasons = {kind.title for kind in ChipError.__subclasses__()}
    name = "chipvote_refused_chips_total"
    before = samples(client)
    assert {sample.removeprefix(f"{name} ") for sample in before if sample.startswith(name)} == reasons
    send(client, b"", b"hello", RED_PNG[:60], RED_PNG[:100], encoded(picture(RED, 20), "PNG"), RED_PNG)
    after = samples(client)
    rises = {reason: after[f"{name} {reason}"] - before[f"{name} {reason}"] for reason in reasons}
    assert {reason: rise for reason, rise in rises.items() if rise} == {
        "Empty chip": 1,
        "Not an accepted image format": 1,
        "Truncated or corrupt image": 2,
        "Wrong chip size": 1,
    }


def test_margin_and_disagreement_of_a_vote(tmp_path: Path) -> None:
    with split_service(tmp_path) as client:
        send(client, RED_PNG, GREEN_PNG, GREEN_PNG)
        found = samples(client)
    # On red all are of one mind. On green two of three members find a label, and one finds another.
    assert found["chipvote_vote_margin_bucket 1.0"] == 2
    assert found["chipvote_vote_margin_sum"] == 2 + 1 + 1
    assert found["chipvote_contested_labels_bucket 0.0"] == 1
    assert found["chipvote_contested_labels_sum"] == 0 + 2 + 2
    assert found["chipvote_contested_labels_count"] == 3


def test_a_chip_that_stopped_early_has_no_margin(tmp_path: Path) -> None:
    with split_service(tmp_path, early_exit=True) as client:
        send(client, RED_PNG)
        found = samples(client)
        assert found["chipvote_chip_members_sum"] < MEMBERS
        assert found["chipvote_vote_margin_count"] == found["chipvote_contested_labels_count"] == 0
        send(client, RED_PNG, explain=True)
        found = samples(client)
        assert found["chipvote_vote_margin_count"] == found["chipvote_contested_labels_count"] == 1


def test_a_rule_that_is_no_vote_has_no_margin(tmp_path: Path) -> None:
    labels = len(LABELS)
    blend = Blend(
        coefficients=tuple(tuple(map(tuple, np.eye(labels) / MEMBERS)) for _ in range(MEMBERS)),
        intercepts=(0.0,) * labels,
        thresholds=(0.5,) * labels,
    )
    with split_service(tmp_path, rule=blend) as client:
        send(client, RED_PNG)
        found = samples(client)
    assert found["chipvote_chip_members_count"] == 1
    assert found["chipvote_vote_margin_count"] == found["chipvote_contested_labels_count"] == 0


def test_device_memory_is_read_at_every_scrape(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = FakeEnsemble(len(LABELS))
    ensemble.device = "cuda"
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: ensemble)
    name = "chipvote_device_memory_bytes"
    with serving(settings) as client:
        for free_bytes in (70, 30):
            cudart = cudart_of(free_bytes=free_bytes, total_bytes=100)
            monkeypatch.setattr(cuda, "_cudart", lambda cudart=cudart: cudart)
            found = samples(client)
            assert (found[f"{name} used"], found[f"{name} total"]) == (100 - free_bytes, 100)
        monkeypatch.setattr(cuda, "_cudart", lambda: cudart_of(status=100))
        assert name not in str(samples(client))
        assert client.get("/metrics").status_code == 200


def test_there_is_no_device_memory_without_a_gpu(client: httpx2.Client) -> None:
    assert "chipvote_device_memory_bytes" not in client.get("/metrics").text


def test_a_histogram_of_chips_is_told_as_the_library_tells_its_own() -> None:
    values = [0, 1, 1, 2.5, 3, 4, 100]
    told = []
    for histogram in (ChipHistogram, Histogram):
        registry = CollectorRegistry()
        if histogram is ChipHistogram:
            found: ChipHistogram | Histogram = ChipHistogram("name", "Text.", (1, 2, 4), registry)
        else:
            found = Histogram("name", "Text.", buckets=(1, 2, 4), registry=registry)
        for value in values:
            found.observe(value)
        lines = generate_latest(registry).decode().splitlines()
        told.append({line for line in lines if "_created" not in line})
    assert told[0] == told[1]
    assert "name_count 7.0" in told[0]
