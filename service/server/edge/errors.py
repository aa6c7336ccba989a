"""How a request is refused before its body is read; a part of the tree in `contract/errors.py`."""

from service.contract.errors import RequestError


class MalformedRequest(RequestError):
    """Raised when what came is not HTTP/1.1, or could be read in two ways."""

    title = "Malformed request"


class SlowRequest(RequestError):
    """Raised when a request's headers do not end in time."""

    status = 408
    title = "Slow request"


class AddressTooLong(RequestError):
    """Raised when path and query of a request pass the configured limit."""

    status = 414
    title = "Address too long"


class HeadersTooLarge(RequestError):
    """Raised when a request's headers are too many or too long."""

    status = 431
    title = "Headers too large"


class ForeignPage(RequestError):
    """Raised when a browser's page of another origin asks for work."""

    status = 403
    title = "Page of another origin"
