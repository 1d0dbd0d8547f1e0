"""``python -m sklasd`` is the command line."""

from sklasd.cli import main

main()
