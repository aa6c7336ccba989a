"""What serving costs: how fast, how steadily, in how much memory, on how hostile input.

Imports `harness` and the service; `gpu` and `kernels` also make networks with `training`.
"""
