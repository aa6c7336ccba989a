"""Processes that read TIFFs and other files of native decoders, and may die of them.

`pool` starts them and hands out files, `process` is what they run, `messages` what both speak.
"""
