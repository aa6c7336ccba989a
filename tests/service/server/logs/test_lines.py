"""The form of lines that do not come from requests, in a process of its own."""

import json
import subprocess
import sys

PROGRAM = """
import logging, sys
from service.server.logs import lines
configured = lines.configured(sys.argv[1])
configured.__enter__()
logging.getLogger("chipvote").info("starts with %s", "a\\nbreak \\x1b[2K")
logging.getLogger("library").info("not told")
logging.getLogger("library").warning("told")
def fail(token):
    1 / 0
try:
    fail("s" + "ecret")
except ZeroDivisionError:
    logging.getLogger("chipvote").exception("failed")
"""


def written(form: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, form]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()


def test_every_line_is_one_of_json() -> None:
    for form in ("json", "auto"):  # stderr is no terminal here
        first, library, failed = map(json.loads, written(form))
        assert (first["level"], first["event"]) == ("info", r"starts with a\nbreak \x1b[2K")
        assert (library["level"], library["event"]) == ("warning", "told")
        assert (failed["level"], failed["event"]) == ("error", "failed")
        assert failed["exception"].endswith("ZeroDivisionError: division by zero")
        assert "secret" not in json.dumps(failed)


def test_the_console_s_form_has_tracebacks() -> None:
    lines = written("console")
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "secret" not in "".join(lines)
    assert not any("\x1b" in line for line in lines)
