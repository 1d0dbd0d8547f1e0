"""The command line."""

import signal
import sys


def main() -> None:
    """Be the process of a command: run it, and let nothing change its end."""
    try:
        run()
    finally:  # all is said and done; what Python takes down afterwards has no more to say
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run() -> None:
    """Run the command line; an interruption is one sentence, too, from the first import on."""
    try:
        from sklasd.cli._app import run as run_app

        run_app()
    except KeyboardInterrupt:
        sys.exit(_say_interrupted())
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:
            _say_interrupted()
        raise


_INTERRUPTED = 128 + 2  # as shells have it: SIGINT is signal 2


def _say_interrupted() -> int:
    print("Interrupted: what was finished is kept, and nothing else.", file=sys.stderr)
    return _INTERRUPTED
