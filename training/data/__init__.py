"""Tables of tags, labels, chips, folds, out-of-fold probabilities, and the audit of chips.

Imports `run` and `config`, and the contract's decoder. No PyTorch.
"""
