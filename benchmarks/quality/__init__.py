"""What a stand-in loses: graphs of fewer bits, exported networks, a fitted stretch of tones.

Needs real chips, of which `harness.data` knows where they lie.
"""
