"""Why rows become no layer.

ServiceError
├── RequestError
│   └── InvalidRows  422  rows cannot be those of a layer
└── NoRoom           507  there is nowhere to write a layer while it is made
"""

from service.contract.errors import RequestError, ServiceError


class InvalidRows(RequestError):
    """Raised when rows cannot be those of a layer."""

    status = 422
    title = "Invalid rows"


class NoRoom(ServiceError):
    """Raised when there is nowhere to write a layer while it is made."""

    status = 507
    title = "Insufficient storage"
