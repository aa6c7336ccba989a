"""A bundle → label sets, over HTTP or from files. ONNX Runtime, never PyTorch.

From the top down: `cli` (the commands), `server` (HTTP) beside `offline` (files on disk),
`answers`, `scenes`, `engine`, `settings` and `metrics` of the process, `contract` (shared with
training) beside `client`. A room imports only what stands below it.
"""

import os

# Before anything imports it: ONNX Runtime would keep events in the home folder, with a number of
# this machine, and send them to its maker. Its function to switch that off comes too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
