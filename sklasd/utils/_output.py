"""Writing results: nothing is overwritten by accident, nothing is left half written."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_free(*paths: str | os.PathLike[str] | None, force: bool = False) -> None:
    """Refuse to overwrite, or to write where that is not allowed, before any work is done.

    Parameters
    ----------
    *paths : path or None
        Files that will be written; None is passed over.
    force : bool, default=False
        Allow to overwrite files.

    Raises
    ------
    FileExistsError
        For a file that is there.
    IsADirectoryError, FileNotFoundError
        For a path that cannot become a file.
    OSError
        For a folder in which no file can be made.

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
        _try_writing(path)


def _try_writing(path: Path) -> None:
    """Make the temporary file, and take it away: rights alone do not tell of a full disk."""
    unfinished = _unfinished(path)
    try:
        unfinished.touch()
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror}; name another folder."
        raise type(error)(error.errno, reason) from error
    unfinished.unlink()


def _unfinished(path: Path) -> Path:
    """Name a temporary file: of this process, on this machine."""
    return path.with_name(f".{path.stem}.{socket.gethostname()}.{os.getpid()}{path.suffix}")


def _remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine left of this file when they were killed."""
    if os.name != "posix":  # elsewhere, to ask whether a process runs may end it
        return
    start, end = f".{path.stem}.{socket.gethostname()}.", path.suffix
    name = re.compile(re.escape(start) + r"(\d+)" + re.escape(end))
    for file in path.absolute().parent.glob(".*"):
        match = name.fullmatch(file.name)
        if match and not _is_running(int(match[1])):
            file.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name to write to, and the true one once all went well.

    What earlier runs left of the same file when they were killed is removed.

    Parameters
    ----------
    path : path
        Where the file is to be.

    Yields
    ------
    Path
        A name in the same folder, with the same suffix.

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
    _remove_leftovers(path)
    unfinished = _unfinished(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
