"""Labels, chips, folds, out-of-fold probabilities: what stages learn from, and the audit of it.

Imports `run` and `config`, and the contract's decoder. No PyTorch.
"""
