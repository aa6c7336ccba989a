"""Why a bulk run does not start, or does not go on."""

from service.contract.errors import StartupError


class InputError(StartupError):
    """Raised when what is to be labelled cannot be listed."""


class PlanError(StartupError):
    """Raised when a folder holds the answers to another question."""


class WorkersLost(StartupError):
    """Raised when the processes that answer end, whatever they are given."""
