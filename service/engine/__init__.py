"""Chips → verdicts: bytes decoded, chips queued and batched, members run, the rule applied.

Imports `contract`, `settings` and `metrics`; knows no HTTP. The server takes `served.Served`, files
on disk take `fallback.open_ensemble`.
"""
