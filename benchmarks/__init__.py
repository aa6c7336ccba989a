"""Speed and quality, measured: every script of `serving`, `quality` and `training` prints a table.

`harness` is what they share, `peers` the servers that this one is compared with. Nothing of the
product imports any of it.
"""
