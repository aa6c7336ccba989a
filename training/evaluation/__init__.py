"""How good it is: scores with intervals, comparisons of runs, and a finished bundle on new chips.

Imports `decision`, `data` and `run`, and of the service the bundle and ONNX Runtime. No PyTorch.
"""
