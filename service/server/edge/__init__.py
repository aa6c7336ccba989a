"""Bytes of a connection → requests, within limits of size, number and time.

uvicorn's protocol on httptools, bounded on its way in and out; what it refuses is a problem too.
Knows connections and the grammar of HTTP, and nothing of routes. The launcher takes
`configuration.configuration`, the app `origins.Origins`, whoever reads a body `pace.Pace`.
"""
