"""Two layers of one ground → what changed between them.

    reading.py ──> matching.py ──> differences.py ──> writing.py  layers of changes
                                                      page.py     one page to look at and print

Needs the packages of the extra `scenes`. Knows the layers' columns; opens no scene and no bundle.
"""
