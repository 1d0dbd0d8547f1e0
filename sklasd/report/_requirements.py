"""The packages of the extra `report`."""

from __future__ import annotations

from typing import Any


def require_report() -> Any:
    """Import jinja2, and check that matplotlib is there; or say how to install what is missing."""
    # Before any clip is scored, which may take long.
    try:
        import jinja2
        import matplotlib  # noqa: F401
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(f"Reports need {error.name}: pip install 'sklasd[report]'.") from error
    return jinja2
