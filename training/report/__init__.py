"""One page to look at: scores, curves, and the chips that went wrong.

Reads what the stages left; imports `decision`, `data` and `run`. No PyTorch.
"""
