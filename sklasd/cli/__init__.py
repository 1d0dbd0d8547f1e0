"""The command line."""

from sklasd.cli._app import main as main
