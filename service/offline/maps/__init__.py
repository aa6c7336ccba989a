"""Whole scenes → a layer of labelled windows, in spite of kills.

    plan.py ──> labelling.py ──> journal.py (parts on disk) ──> outputs.py (finished files)

Knows scenes, the crew and layers; prints nothing.
"""
