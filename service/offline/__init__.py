"""Work without HTTP: files, scenes and lists of chips → the answers that the service would give.

Stands beside `server` and knows nothing of it. Imports `answers`, `scenes`, `engine`, `settings`
and what lies below them.
"""
