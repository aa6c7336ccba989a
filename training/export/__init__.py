"""Networks and a rule → graphs that answer alike, golden chips, a model card: a sealed bundle.

The last stage; imports every room below. What it writes, `service.contract.bundle` reads.
"""
