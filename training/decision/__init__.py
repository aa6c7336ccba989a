"""Out-of-fold probabilities → the rule, fitted exactly: thresholds, weights, blends, co-occurrence.

Imports `data`, `run` and `config`, and the contract's arithmetic. `evaluation` and `export` take
the rule. No PyTorch.
"""
