"""The packages of the extra `report`."""

from __future__ import annotations

from typing import Any


def require_report() -> Any:
    """Import jinja2, and check that matplotlib can be imported.

    Returns
    -------
    module
        ``jinja2``.

    Raises
    ------
    ImportError
        If a package is missing, with the command that installs it.
    """
    try:
        import jinja2
        import matplotlib  # noqa: F401
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(f"Reports need {error.name}: pip install 'sklasd[report]'.") from error
    return jinja2
