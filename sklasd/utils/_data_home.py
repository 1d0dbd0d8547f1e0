"""The folder of downloads."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path of the folder of all downloads, which need not exist.

    None takes the environment variable ``SKLASD_DATA``, or else ``~/sklasd_data``.

    Examples
    --------
    >>> data_folder("/data").as_posix()
    '/data'
    """
    # An empty variable is as good as none.
    home = data_home or os.environ.get("SKLASD_DATA") or "~/sklasd_data"
    return Path(home).expanduser().absolute()
