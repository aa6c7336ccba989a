"""A scene → windows of its pixels, each a chip with its place on the ground.

Knows no network and no answers; so the commands and the service cut scenes alike. Needs the extra
`scenes`: nothing here is imported before a scene is asked for.
"""
