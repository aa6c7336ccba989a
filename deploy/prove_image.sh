#!/usr/bin/env bash
# Do the image's steps without a container engine, then start what came out the way a container would:
# as another user, with nothing but the image's environment, on a tree that it cannot write to.
#
#   deploy/prove_image.sh [cpu|cuda]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

variant=${1:-cpu}
port=${PORT:-8099}
user=10001

scratch=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then kill -KILL "$server" 2>/dev/null || true; fi
    chmod -R u+w "$scratch"
    rm -rf "$scratch"
}
trap finish EXIT

app=$scratch/app
PIP_QUIET=1 sh deploy/install.sh "$variant" "$app"
# The folders that the Dockerfile copies, read from it.
sed -n 's|^COPY \([a-z]*/\) /app/.*|\1|p' Dockerfile | while read -r folder; do
    cp -r "$folder" "$app/"
done
cp deploy/healthcheck.py "$app/"
find "$app" -name __pycache__ -path "$app/service/*" -prune -exec rm -rf {} +
chmod 755 "$scratch"
chmod -R a-w,a+rX "$app"

if "$app/venv/bin/python" -c 'import torch' 2>/dev/null; then
    echo "torch is in the image" >&2
    exit 1
fi

as_user=()
if [ "$(id -u)" = 0 ]; then
    as_user=(setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all)
    # By way of `env`: setpriv itself still has root's rights when it opens a file to run.
    if ! "${as_user[@]}" env "$app/venv/bin/python" -c '' 2>/dev/null; then
        echo "user $user cannot run this Python; say PYTHON=/usr/bin/python3. Going on as root." >&2
        as_user=()
    fi
fi

environment=(env -i PATH="$app/venv/bin:/usr/bin:/bin" HOME=/tmp PYTHONDONTWRITEBYTECODE=1
    CHIPVOTE_HOST=127.0.0.1 CHIPVOTE_PORT="$port")
cd "$app"
"${as_user[@]}" "${environment[@]}" chipvote serve &
server=$!

for _ in $(seq 120); do
    kill -0 "$server" || { echo "the service ended before it was ready" >&2; exit 1; }
    if "${environment[@]}" python healthcheck.py 2>/dev/null; then break; fi
    sleep 1
done
"${environment[@]}" python healthcheck.py

kill -TERM "$server"
timeout 20 tail --pid="$server" -f /dev/null || { echo "still running 20 s after SIGTERM" >&2; exit 1; }
wait "$server"
server=
echo "The $variant image's steps give a service that got ready$([ ${#as_user[@]} = 0 ] || echo " as user $user") and ended on SIGTERM."
