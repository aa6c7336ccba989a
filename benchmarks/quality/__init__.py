"""What a stand-in loses: graphs of fewer bits, exported networks, a fitted stretch, our decoder.

Needs real chips, of which `harness.data` knows where they lie, or for `sweep` files of any kind.
"""
