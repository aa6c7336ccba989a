"""How a request is refused for who asks; a part of the tree in `contract/errors.py`."""

from service.contract.errors import ServiceError


class AccessError(ServiceError):
    """Raised when whoever asks may not."""

    status = 403
    title = "No access"


class NoKey(AccessError):
    """Raised when no key comes where one is needed, or one that is none or none any more."""

    status = 401
    title = "No valid key"


class MissingScope(AccessError):
    """Raised when a key is good, but not for this."""

    status = 403
    title = "Missing scope"


class TooManyRequests(AccessError):
    """Raised when a key has used up what it may ask for; `retry_after_s` later it may again."""

    status = 429
    title = "Too many requests"
