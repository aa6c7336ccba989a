"""Raw chips → logits, all of it inside the graph: preprocessing, backbone, head; what is frozen; the loss.

Imports `data`, `run` and `config`; knows no stage. `fit` trains it, `export` writes it down.
"""
