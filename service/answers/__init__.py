"""What people and programs are told: votes, bundles and errors in words, evidence and places drawn.

Between the engine, whose votes it words, and the two ways out, HTTP (`server`) and files
(`offline`). Imports `engine`, `contract` and the shapes of `client`; knows no HTTP.
"""
