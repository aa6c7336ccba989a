"""What a container takes from a process, without a container engine.

Everything that is mounted becomes read-only but a new, empty `/tmp`, inside namespaces that end
with the process. The process is user 10001 in its own eyes, without any capability or a way to
one, and still may read what the tests' own user may.
"""

import subprocess
import sys

from tests.kit.serving import ROOT

_SCRIPT = """
set -eu
findmnt -rno TARGET | grep -v ^/proc | while read -r place; do
    mount -o remount,bind,ro "$place" 2>/dev/null || true
done
mount -t tmpfs -o size=64m tmpfs /tmp
exec unshare --user --map-user=10001 --map-group=10001 setpriv --no-new-privs "$@"
"""
_PROBE = """
import os, pathlib, sys
status = pathlib.Path('/proc/self/status').read_text()
assert os.getuid() == 10001 and 'CapEff:\\t0000000000000000' in status and 'NoNewPrivs:\\t1' in status
pathlib.Path('/tmp/probe').touch()
try:
    pathlib.Path(sys.argv[1], 'probe').touch()
except OSError as error:
    sys.exit(0 if error.strerror == 'Read-only file system' else str(error))
sys.exit('the files can be written')
"""


def contained(*command: str) -> list[str]:
    """Return the command as it runs in something like a container; its process keeps its number."""
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _SCRIPT, "sh", *command]


def why_not() -> str:
    """Return why this machine cannot do it, or nothing."""
    if ROOT.is_relative_to("/tmp"):
        return f"{ROOT} would be hidden by the new /tmp"
    probe = contained(sys.executable, "-c", _PROBE, str(ROOT))
    try:
        return subprocess.run(probe, capture_output=True, text=True, check=False).stderr.strip()
    except FileNotFoundError as error:
        return str(error)
