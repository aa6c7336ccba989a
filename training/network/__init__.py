"""Raw chips → logits, all inside the graph: preprocessing, backbone, head; freezing; the loss.

Imports `data`, `run` and `config`; knows no stage. `fit` trains it, `export` writes it down.
"""
