"""`python -m service` is `chipvote serve`."""

import sys

from service.cli import main

main(["serve", *sys.argv[1:]])
