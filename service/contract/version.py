"""The version of service and training, which are built from one tree; `pyproject.toml` reads it here."""

__version__ = "0.1.0"
