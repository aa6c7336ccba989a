#!/bin/sh
# Install what the service runs on: TARGET/venv with the locked packages and the command `chipvote`.
# The code itself is not built: it goes to TARGET/service and TARGET/models as it lies in the repository.
# The Dockerfile and prove_image.sh both call this, so that the proof says something about the image.
#
#   deploy/install.sh cpu|cuda TARGET
set -eu

variant=$1
target=$2
case $variant in
cpu) lock=requirements/service-cpu.txt ;;
cuda) lock=requirements/service-gpu.txt ;;
*)
    echo "unknown variant '$variant'; choose cpu or cuda" >&2
    exit 2
    ;;
esac

python=${PYTHON:-python3}
# The running service has no use for pip, so the outer one installs.
"$python" -m venv --without-pip "$target/venv"
"$python" -m pip --python "$target/venv/bin/python" install \
    --no-cache-dir --disable-pip-version-check --root-user-action=ignore --require-hashes -r "$lock"

"$target/venv/bin/python" - "$target" <<'PYTHON'
import sys
import sysconfig
from pathlib import Path

target = sys.argv[1]
Path(sysconfig.get_path("purelib"), "chipvote.pth").write_text(f"{target}\n")
command = Path(sysconfig.get_path("scripts"), "chipvote")
command.write_text(f"#!{sys.executable}\nfrom service.cli import main\n\nmain()\n")
command.chmod(0o755)
PYTHON
