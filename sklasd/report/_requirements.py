"""What reports need beside sklasd: the extra `report`."""

from __future__ import annotations

from typing import Any


def require_report() -> Any:
    """Import jinja2, and see that there are colours; or say how to install what is missing.

    Returns
    -------
    module
        ``jinja2``.

    Raises
    ------
    ImportError
        Without jinja2, or matplotlib and what comes with it.
    """
    try:
        import jinja2
        import matplotlib  # noqa: F401
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(f"Reports need {error.name}: pip install 'sklasd[report]'.") from error
    return jinja2
