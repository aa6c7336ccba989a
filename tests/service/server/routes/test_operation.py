import httpx2

from tests.kit.fakes import (
    RED,
    encoded,
    picture,
)

RED_JPEG = encoded(picture(RED), "JPEG")


def test_health(client: httpx2.Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_metrics_count_what_happened(client: httpx2.Client) -> None:
    def samples() -> dict[str, float]:
        response = client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=")
        lines = [line.rpartition(" ") for line in response.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def rise(name: str) -> float:
        return after[name] - before.get(name, 0)

    before = samples()
    for names in (("a.jpg", "b.jpg", "c.txt"), ("c.txt",)):
        files = [("chip", (name, RED_JPEG if name.endswith("jpg") else b"hello")) for name in names]
        client.post("/predict", files=files)
    client.get("/made/up")
    after = samples()
    assert rise('chipvote_requests_total{route="/predict",status="200"}') == 1
    assert rise('chipvote_requests_total{route="/predict",status="415"}') == 1
    assert rise('chipvote_requests_total{route="unknown",status="404"}') == 1
    assert rise('chipvote_request_seconds_count{route="/predict"}') == 2
    assert rise('chipvote_chips_total{outcome="answered"}') == 2
    assert rise('chipvote_chips_total{outcome="refused"}') == 2
    assert rise('chipvote_labels_predicted_total{label="reddish"}') == 2
    assert rise("chipvote_batch_chips_sum") == 2
    assert after["chipvote_queue_chips"] == 0
    assert "made" not in str(after)
