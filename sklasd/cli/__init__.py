"""The command line."""

import signal
import sys

_INTERRUPTED = 128 + 2  # as shells have it: SIGINT is signal 2


def main() -> None:
    """Run the command line as a process of its own, which ends with the command's status."""
    try:
        run()
    finally:  # the command has ended; Ctrl-C while Python shuts down must not change its status
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run() -> None:
    """Run the command line; Ctrl-C gives one sentence, even during the first imports."""
    try:
        from sklasd.cli._app import run as run_app

        run_app()
    except KeyboardInterrupt:
        sys.exit(_say_interrupted())
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # typer has turned Ctrl-C into this
            _say_interrupted()
        raise


def _say_interrupted() -> int:
    print("Interrupted: what was finished is kept, and nothing else.", file=sys.stderr)
    return _INTERRUPTED
