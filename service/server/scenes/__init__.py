"""Scenes over HTTP: a body → labelled windows, a line each, as they come.

    spool.py ──> reader.py <══> process.py (its own process: GDAL) ──> rows.py

`places.py` bounds how many are under way. Knows HTTP bodies, the engine and answers; how a scene is
cut is for `service.scenes` to say.
"""
