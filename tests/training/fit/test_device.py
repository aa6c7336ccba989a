import pytest
import torch

from training.fit.device import best_device, fast_bfloat16


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert best_device() == torch.device("cuda" if there else "cpu")


@pytest.mark.parametrize("fast", [True, False])
def test_a_gpu_that_emulates_bfloat16_is_not_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or fast
    )
    assert fast_bfloat16() is fast


def test_a_cpu_that_computes_in_bfloat16_is_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intel's and AMD's instructions for it came with and after AVX-512."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = torch.cpu.get_capabilities()
    if found["architecture"] != "x86_64":
        pytest.skip(f"{found['architecture']} names its instructions otherwise")
    if found["avx512_bf16"]:
        assert fast_bfloat16()
    if not found["avx512_f"]:
        assert not fast_bfloat16()
