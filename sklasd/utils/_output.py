"""Write results: overwrite nothing by accident, leave nothing half written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex


def check_free(*paths: str | os.PathLike[str] | None, force: bool = False) -> None:
    """Check that files can be written, and overwrite none, before any work is done.

    Examples
    --------
    >>> check_free("no-such-file.csv", None)
    """
    for path in [Path(p) for p in paths if p is not None]:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; name a file in it.")
        if path.exists() and not force:
            raise FileExistsError(
                f"{path} exists; pass --force (in Python, force=True) to overwrite it, or another "
                "name."
            )
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(f"There is no folder {path.absolute().parent}; make it first.")
        try:  # the disk may be full or read-only, whatever the rights are
            _make_unfinished(path).unlink()
        except OSError as error:
            reason = f"{path} cannot be written: {error.strerror}; name another folder."
            raise type(error)(error.errno, reason) from error


def _make_unfinished(path: Path) -> Path:
    """Make an empty file beside `path`.

    Its name cannot be guessed, and it must be new: nobody can put a link there that leads the
    writer elsewhere. Unlike `tempfile.mkstemp` this gives the file the user's usual rights.
    """
    unfinished = path.with_name(f".{path.stem}.{token_hex(8)}{path.suffix}")
    unfinished.touch(exist_ok=False)
    return unfinished


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name, and rename it if all went well.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as unfinished:
    ...         _ = unfinished.write_text("done")
    ...     os.listdir(folder)
    ['a.txt']
    """
    path = Path(path)
    unfinished = _make_unfinished(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:  # after Ctrl-C, too
        unfinished.unlink(missing_ok=True)
