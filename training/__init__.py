"""Chips and tags → a sealed bundle.

From the top down: `cli` (the commands), `report` beside `export`, `fit` beside `evaluation`,
`network` beside `decision`, `data`, `run`, `config`. A room imports only what stands below it, and
of the service the contract.
"""
