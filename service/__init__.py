"""A bundle → label sets, over HTTP or from files. ONNX Runtime, never PyTorch.

From the top down: `cli` (the commands), `server` (HTTP) beside `offline` (files on disk),
`answers`, `engine`, `settings` and `metrics` of the process, `contract` (shared with training)
beside `client`. A room imports only what stands below it.
"""
