"""Every way a request or a start-up can fail, as one exception tree.

    ServiceError
    ├── ChipError              one chip cannot be used; its neighbours still are
    │   ├── EmptyChip          400
    │   ├── NotAnImage         415
    │   ├── CorruptChip        422
    │   ├── WrongBands         422
    │   ├── WrongValues        422
    │   ├── WrongSize          422
    │   └── TooManyPixels      413
    ├── RequestError           the request as a whole cannot be used
    │   ├── NoChip             400
    │   ├── MalformedForm      400
    │   ├── UnsupportedBody    415
    │   ├── EncodedBody        415
    │   ├── StalledBody        408
    │   ├── LostBody           400
    │   ├── InvalidParameter   422
    │   ├── BodyTooLarge       413
    │   ├── TooManyChips       413
    │   ├── NoSuchVersion      422
    │   ├── SwapRefused        409
    │   ├── ClientGone         400
    │   │                      in server/edge, of what comes before a body:
    │   ├── MalformedRequest   400
    │   ├── SlowRequest        408
    │   ├── AddressTooLong     414
    │   ├── HeadersTooLarge    431
    │   └── ForeignPage        403
    ├── AccessError            who asks may not; in server/access
    │   ├── NoKey              401
    │   ├── MissingScope       403
    │   └── TooManyRequests    429
    ├── Overloaded             503
    │   └── OutOfMemory        503
    ├── NotReady               503
    ├── DeadlinePassed         504
    └── StartupError           never reaches a client: the service refuses to start
        ├── BundleError
        │   └── WrongAnswers
        ├── DeviceError
        └── SettingsError

A class fixes the status and the title; an instance's message says what was wrong
and what is accepted. Knows nothing of HTTP frameworks: `app.py` turns a
`ServiceError` into RFC 9457 problem+json.
"""

import logging
from typing import ClassVar

logger = logging.getLogger("chipvote")


class ServiceError(Exception):
    """Base of every error this package raises on purpose."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "", retry_after_s: int = 1) -> None:
        """Take what was wrong, and when to try again where that may help."""
        super().__init__(detail)
        self.retry_after_s = retry_after_s

    @property
    def detail(self) -> str:
        """What was wrong with this one occurrence, and what is accepted."""
        return str(self)


class ChipError(ServiceError):
    """Raised when one chip cannot be turned into pixels."""

    status = 422
    title = "Unusable chip"


class EmptyChip(ChipError):
    """Raised when an upload holds no bytes."""

    status = 400
    title = "Empty chip"


class NotAnImage(ChipError):
    """Raised when the bytes start like none of the accepted formats."""

    status = 415
    title = "Not an accepted image format"


class CorruptChip(ChipError):
    """Raised when an image starts well but is truncated or broken inside."""

    title = "Truncated or corrupt image"


class WrongBands(ChipError):
    """Raised when band count or sample type are not what the bundle can use."""

    title = "Wrong bands"


class WrongValues(ChipError):
    """Raised when numbers cannot be of the kind that the bundle knows, or are none."""

    title = "Wrong values"


class WrongSize(ChipError):
    """Raised when a side is too short to show land use."""

    title = "Wrong chip size"


class TooManyPixels(ChipError):
    """Raised, before decoding, when a chip claims more pixels than allowed."""

    status = 413
    title = "Too many pixels"


class RequestError(ServiceError):
    """Raised when the request cannot be read as chips at all."""

    status = 400
    title = "Bad request"


class NoChip(RequestError):
    """Raised when a form has no file in its field `chip`."""

    title = "No chip"


class MalformedForm(RequestError):
    """Raised when a multipart body does not parse."""

    title = "Malformed form"


class UnsupportedBody(RequestError):
    """Raised when the content type is neither a form nor an accepted image."""

    status = 415
    title = "Unsupported content type"


class EncodedBody(RequestError):
    """Raised when the body is compressed on its way."""

    status = 415
    title = "Unsupported content coding"


class StalledBody(RequestError):
    """Raised when the body begins and nothing of it comes any more."""

    status = 408
    title = "Stalled body"


class LostBody(RequestError):
    """Raised when the server dropped the body, because the request asks for another protocol."""

    title = "Lost body"


class InvalidParameter(RequestError):
    """Raised when a query parameter has a value that it cannot have."""

    status = 422
    title = "Invalid parameter"


class BodyTooLarge(RequestError):
    """Raised when the body passes the configured limit."""

    status = 413
    title = "Body too large"


class TooManyChips(RequestError):
    """Raised when a request's chips take longer than it may take, even alone."""

    status = 413
    title = "Too many chips"


class NoSuchVersion(RequestError):
    """Raised when a request asks for a version that is not loaded."""

    status = 422
    title = "No such version"


class SwapRefused(RequestError):
    """Raised when another bundle cannot be put in the place of the one that answers."""

    status = 409
    title = "Swap refused"


class ClientGone(RequestError):
    """Raised when the connection ends before the answer; nobody reads it."""

    title = "Incomplete request"


class Overloaded(ServiceError):
    """Raised when places, connections or the memory for bodies are taken; to be retried later."""

    status = 503
    title = "Overloaded"


class OutOfMemory(Overloaded):
    """Raised when a chip cannot be decoded because the machine's memory is short."""

    title = "Out of memory"


class NotReady(ServiceError):
    """Raised before warm-up ends and once shutting down has begun."""

    status = 503
    title = "Not ready"


class DeadlinePassed(ServiceError):
    """Raised when a chip was not answered in the time that its request had."""

    status = 504
    title = "Deadline passed"


class StartupError(ServiceError):
    """Raised while starting; the process must not come up half working."""


class BundleError(StartupError):
    """Raised when a bundle is missing, altered or inconsistent."""


class WrongAnswers(BundleError):
    """Raised when graphs that are as they were sealed do not reproduce the golden answers here."""


class DeviceError(StartupError):
    """Raised when the requested device does not really run the graphs."""


class SettingsError(StartupError):
    """Raised when a setting has a value the service cannot use."""


def is_shortage(error: Exception) -> bool:
    """Tell whether a library's error means that memory is short: few say so by a `MemoryError`."""
    return any(word in str(error).lower() for word in ("memory", "mem_error"))


def corrupt(error: Exception) -> CorruptChip:
    """Return what a decoder's error is to a client.

    The decoder's own words go to the log: they are its developers', and may hold addresses or names
    of this machine.
    """
    logger.debug("a decoder refused a picture: %r", error)
    return CorruptChip("the image is truncated or corrupt; send the whole file")
