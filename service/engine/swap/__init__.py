"""Which of the loaded bundles answers, and how another takes its place without a request lost.

`versions` holds what is loaded, `swapper` brings in another by the steps of `proof`, `shadow` lets
it answer unseen. Knows bundles and chips; no HTTP.
"""
