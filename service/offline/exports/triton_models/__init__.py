"""The models of an exported repository that Triton's Python backend runs.

They are copied into the repository, with the sources of this project that they import, and run in
Triton's own Python: they know tensors and files beside them, nothing else of the service.
"""
