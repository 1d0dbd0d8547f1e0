"""Writing results: nothing is overwritten by accident, nothing is left half written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_free(*paths: str | os.PathLike[str] | None, force: bool = False) -> None:
    """Refuse to overwrite, before any work is done.

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


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name to write to, and the true one once all went well.

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
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
