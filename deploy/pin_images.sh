#!/bin/sh
# Print NAME=image:tag@sha256:… for every image that the compose file names by a variable: its Python, its
# nginx, Prometheus and Grafana. Kept as `.env` beside the compose file, the lines pin them; compose reads
# that file by itself, and gives the first to the Dockerfile. A tag may come to mean another image, a digest
# cannot. Needs docker with buildx, and the registries.
#
#   deploy/pin_images.sh > .env
set -eu

sed -n 's/.*\${\([A-Z]*_IMAGE\):-\([^}]*\)}.*/\1 \2/p' "$(dirname "$0")/../docker-compose.yml" | sort -u |
    while read -r name image; do
        digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image" </dev/null)
        echo "$name=$image@$digest"
    done
