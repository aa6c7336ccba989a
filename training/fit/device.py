"""Which processor does the work, and in what arithmetic."""

import torch


def best_device() -> torch.device:
    """Return the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_bfloat16() -> bool:
    """Tell whether the device computes in bfloat16; one that emulates it is faster in float32."""
    if best_device().type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
