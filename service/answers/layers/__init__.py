"""Layers for maps: what a bundle says of windows, as files that GIS programs open.

    rows.py ──> parts on disk (Parquet) ──> geoparquet.py | geopackage.py | geojson.py | raster.py
                                            style.py: how QGIS draws them

Needs the packages of the extra `scenes`. Knows places and verdicts; opens no scene.
"""
