"""Why a scene is not answered, beyond what is wrong with the scene itself.

ServiceError
├── MissingExtra  501  the packages that read scenes and write layers are not installed
└── LostScene     422  a scene ended the process that reads it
"""

from service.contract.errors import ServiceError


class MissingExtra(ServiceError):
    """Raised when the extra `scenes` is not installed where the service runs."""

    status = 501
    title = "Not installed"


class LostScene(ServiceError):
    """Raised when a scene crashed its reader, or took more memory or time than it may."""

    status = 422
    title = "Unreadable scene"
