import pytest

pytest.importorskip("onnx")  # of the bundle that costs nothing
described = pytest.importorskip("benchmarks.serving.described").described


@pytest.mark.slow
@pytest.mark.parametrize("keys", [False, True])
def test_the_service_keeps_to_its_own_description(keys: bool) -> None:
    pytest.importorskip("schemathesis")
    sent, accepted, failures = described(keys, 100, seed=1)
    assert sent >= 100
    assert accepted > 10
    assert failures == 0
