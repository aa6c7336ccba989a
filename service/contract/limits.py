"""What the system lets this process have, checked before it is needed.

Libraries that run into such a limit abort without a word, or blame what they were reading.
"""

import resource

from service.contract.errors import SettingsError
from service.contract.processors import processors

LEAST_FILES, MOST_FILES = 256, 1 << 16  # each connection is one; those of the process itself are some thirty
LEAST_BYTES, BYTES_PER_PROCESSOR = 1 << 30, 1 << 28  # threads reserve far more addresses than they use

_ENDLESS = resource.RLIM_INFINITY


def check_limits() -> None:
    """Take as many open files as this process may have, and refuse too few, or too few addresses.

    Raises:
        SettingsError: names the limit, what is needed and where it is set.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == _ENDLESS else min(hard, MOST_FILES)
    if soft != _ENDLESS and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < LEAST_FILES:
        raise SettingsError(
            f"this process may open {most} files, and needs {LEAST_FILES} or more, one for each connection; "
            "raise the limit: `ulimit -n`, `LimitNOFILE` of systemd, or `ulimits` of the compose file"
        )
    addresses, least = (
        resource.getrlimit(resource.RLIMIT_AS)[0],
        LEAST_BYTES + BYTES_PER_PROCESSOR * processors(),
    )
    if addresses != _ENDLESS and addresses < least:
        raise SettingsError(
            f"this process may use {addresses >> 20} MiB of addresses, and needs {least >> 20} here; "
            "raise `ulimit -v` or lift it: it counts what threads reserve, and a control group bounds memory"
        )
