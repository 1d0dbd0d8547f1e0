"""The command line."""

import sys


def main() -> None:
    """Run the command line; an interruption is one sentence, too, from the first import on."""
    try:
        from sklasd.cli._app import run

        run()
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
