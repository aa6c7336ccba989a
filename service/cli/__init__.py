"""The console script `chipvote`: one command per thing an operator does.

Reads options, calls the modules below, prints. A `StartupError` or a `ChipvoteError` becomes one
line on stderr and exit status 1.

A command imports what it needs when it runs: whoever asks for help, or lets a service elsewhere
label, waits neither for the server nor for ONNX Runtime.
"""

from service.cli import (  # noqa: F401 - the commands
    differences,
    exporting,
    labelling,
    mapping,
    scoring,
    serving,
)
from service.cli.console import main

__all__ = ["main"]
