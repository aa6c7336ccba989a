"""A run's folder: where every stage finds what the one before it left, whole or not at all.

Imports `config`, and the number of processors. Every stage keeps its own files here. No PyTorch.
"""
