"""The version of service and training, built from one tree; `pyproject.toml` reads it here."""

__version__ = "0.1.0"
