"""`python -m service.cli` is the console script, where that may not be on the path."""

from service.cli import main

main()
