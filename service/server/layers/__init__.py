"""Layers over HTTP: rows that a page shows → a file for a GIS.

`rows.py` says what rows may be, `writing.py` writes them, a layer at a time.
"""
