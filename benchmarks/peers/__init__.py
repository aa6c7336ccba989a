"""The servers that this one is compared with, each as somebody who knows it would write it.

They run in an environment of their own; `harness.contenders` knows their settings.
"""
