#!/bin/sh
# Give nginx a certificate, then become it. tls/certificate.pem and tls/key.pem beside this file are used where
# they are (readable for user 101); otherwise a self-signed one is made for EDGE_NAME, anew at every start.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
used=/tmp/tls
mkdir -p "$used"
if [ -e "$here/tls/certificate.pem" ]; then
    ln -sf "$here/tls/certificate.pem" "$here/tls/key.pem" "$used"
else
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
        -subj "/CN=$EDGE_NAME" -addext "subjectAltName=DNS:$EDGE_NAME,DNS:localhost,IP:127.0.0.1" \
        -keyout "$used/key.pem" -out "$used/certificate.pem"
    echo "edge: a self-signed certificate for $EDGE_NAME; put your own into deploy/edge/tls" >&2
fi
exec nginx -e stderr -c "$here/nginx.conf" -g 'daemon off;'
