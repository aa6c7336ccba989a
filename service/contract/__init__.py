"""What training and service must agree on.

This is the bundle, its rule, how bytes become a chip, and how a graph is run. The lowest room of
the service and the only one that training sees. Imports no other; every room imports it.
"""
