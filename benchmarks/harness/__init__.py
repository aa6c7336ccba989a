"""What benchmarks share: servers in turn under load, the bundles and chips that they are given.

`servers` is the one way to start a server and `chips` writes the forms. Imports nothing of the
folders whose scripts it helps.
"""
