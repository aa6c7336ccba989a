"""Networks learn, and say what they think of chips they have not seen.

Imports `network`, `data`, `run` and `config`. It leaves weights and out-of-fold probabilities in
the run's folder, for `decision` and `export`.
"""
