"""Who may ask for what: keys from a file, scopes of routes, limits of each key.

`guard` stands before every route and denies what is not allowed; without a file of keys it is not
there. Imports `contract`, `problems` and `logs`; knows no chips.
"""
