"""A bundle → what other systems load: Triton's model repository, a catalogue's entry.

Stands in `offline`; reads bundles and writes files. Nothing here runs a network.
"""
