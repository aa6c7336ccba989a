"""Why a bulk run does not start or does not go on, and why a chip has no row.

ServiceError
├── StartupError
│   ├── InputError    what is to be labelled cannot be listed
│   ├── PlanError     a folder holds the answers to another question
│   ├── WorkersLost   the processes that answer end, whatever they are given
│   └── SourceLost    chip after chip cannot be fetched
└── NoChip
    └── NotFetched    one chip cannot be, though it may be there
"""

from service.contract.errors import NoChip, StartupError


class InputError(StartupError):
    """Raised when what is to be labelled cannot be listed."""


class PlanError(StartupError):
    """Raised when a folder holds the answers to another question."""


class WorkersLost(StartupError):
    """Raised when the processes that answer end, whatever they are given."""


class SourceLost(StartupError):
    """Raised when chip after chip cannot be fetched: it is the store, or the right to read it."""


class NotFetched(NoChip):
    """Stands in the place of a chip that lies elsewhere and cannot be had."""

    title = "Not fetched"
