"""Who is let in, whose turn it is, and whether the threads still work.

Knows chips by their number and their line; no bytes, no pixels, no device. The rest of the engine
stands above.
"""
