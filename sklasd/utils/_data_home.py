"""Where downloads lie."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of all downloads.

    Parameters
    ----------
    data_home : path or None
        What the user asks for. None takes the one that the environment variable ``SKLASD_DATA``
        names, or else ``~/sklasd_data``.

    Returns
    -------
    Path
        Absolute; it need not exist.

    Examples
    --------
    >>> data_folder("/data").as_posix()
    '/data'
    """
    home = data_home or os.environ.get("SKLASD_DATA") or "~/sklasd_data"
    return Path(home).expanduser().absolute()
