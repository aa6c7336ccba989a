"""HTTP: requests → chips for the engine, and verdicts → responses.

Imports everything below: `answers`, `engine`, `settings`, `metrics`, `contract`. The console takes
`serving.serve`, a test or a program of its own takes `app.create_app`.
"""
