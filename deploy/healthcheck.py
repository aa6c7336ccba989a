"""Exit 0 when the service on this machine is ready; the image's HEALTHCHECK.

`http.client` and not `urllib`: the latter would ask a proxy from the environment.
"""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("CHIPVOTE_PORT", "8000")), timeout=4)
try:
    connection.request("GET", "/health/ready")
    status = connection.getresponse().status
except OSError as error:
    sys.exit(f"no answer: {error}")
if status != http.HTTPStatus.OK:
    sys.exit(f"not ready: status {status}")
