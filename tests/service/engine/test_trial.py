import subprocess
import sys
from pathlib import Path

import pytest

from service.contract.bundle import MANIFEST, Bundle
from service.contract.errors import BundleError, DeviceError, WrongAnswers
from service.engine.trial import trial

_SCRIPT = """
import sys, time
from pathlib import Path
from service.contract.manifest import InputSpec
from service.engine import trial
trial.OPEN_S, trial.CHIP_S = 0.2, 0.1
with trial.trial(Path(sys.argv[1]), InputSpec(bands=("red",), height=8, width=8), chips=1):
    {does}
    time.sleep(20)
"""


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("pass", "is not done after 0.3 s"),
        ("much = bytes(range(256)) * (1 << 21)", "takes more than 160 MiB"),
    ],
)
def test_what_takes_too_much_ends_the_process(colours: Bundle, does: str, says: str) -> None:
    path = colours.folder / MANIFEST
    script = _SCRIPT.format(does=does).replace("0.2, 0.1", "0.2, 0.1" if does == "pass" else "60, 1")
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"chipvote: {path}: ")
    assert says in line


@pytest.mark.parametrize(
    ("error", "becomes"),
    [(RuntimeError("no"), BundleError), (MemoryError(), DeviceError), (WrongAnswers("x"), WrongAnswers)],
)
def test_what_fails_is_said_with_the_file(
    colours: Bundle, error: Exception, becomes: type[Exception]
) -> None:
    path = Path(colours.folder / MANIFEST)
    with pytest.raises(becomes), trial(path, colours.manifest.input, chips=1):
        raise error
