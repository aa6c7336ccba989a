"""Why there is no such layer.

ServiceError
└── StartupError
    └── LayerError  rows cannot be put into a format, or a file holds none
"""

from service.contract.errors import StartupError


class LayerError(StartupError):
    """Raised when rows cannot be put into a format, or a file holds none."""
