"""The order in which one epoch shows the chips, and how often each.

Shape suffixes: N chips, L labels.
"""

import torch


def epoch_order(targets_NL: torch.Tensor, oversample: float, generator: torch.Generator) -> torch.Tensor:
    """Return N row numbers, shuffled: every chip once, or chips with rare labels more often.

    An epoch has N chips whatever the option, so steps and schedules stay comparable: what rare
    labels gain, chips without any lose. A chip comes its expected number of times, rounded up or
    down by chance.

    Args:
        targets_NL: the chips' labels, bool or 0/1.
        oversample: 0 gives a permutation, 0.5 repeat factor sampling as published, 1 makes each
            label rarer than the median label as frequent as that one.
        generator: on the CPU.

    Raises:
        ValueError: `oversample` is not between 0 and 1.
    """
    if not 0 <= oversample <= 1:
        raise ValueError(f"oversample is {oversample}; choose 0 (every chip once) to 1")
    count = len(targets_NL)
    if not oversample:
        return torch.randperm(count, generator=generator)
    expected_N = repeat_factors(targets_NL, oversample)
    expected_N *= count / expected_N.sum()
    # Systematic sampling: N points, one apart, on a line on which each chip is as long as expected.
    shuffled_N = torch.randperm(count, generator=generator)
    ends_N = expected_N[shuffled_N].cumsum(0)
    points_N = torch.arange(count) + torch.rand((), dtype=torch.float64, generator=generator)
    drawn_N = shuffled_N[torch.searchsorted(ends_N, points_N).clamp(max=count - 1)]
    return drawn_N[torch.randperm(count, generator=generator)]


def repeat_factors(targets_NL: torch.Tensor, exponent: float) -> torch.Tensor:
    """Return how often each chip should come relative to one with common labels only, float64 (N).

    A label with share f of the chips asks for max(1, (t/f)^exponent), where t is the median
    label's share; a chip comes as often as its rarest label asks. The paper has exponent 1/2 and
    a fixed t.

    Source: Gupta, Dollár and Girshick 2019, "LVIS: a dataset for large vocabulary instance
    segmentation", appendix B.
    """
    targets_NL = targets_NL.double()
    share_L = targets_NL.mean(dim=0)
    share_L = torch.where(share_L > 0, share_L, torch.nan)  # labels that no chip has ask for nothing
    factor_L = (share_L.nanmedian() / share_L).pow(exponent).nan_to_num(1.0).clamp(min=1)
    return (targets_NL * factor_L).amax(dim=1).clamp(min=1)
