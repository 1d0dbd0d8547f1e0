"""Sections as text: a table may have them as numbers, with gaps."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd


def section_names(section: Any) -> np.ndarray:
    """Write sections as text, so that 1 and "1" are one; None where they are missing.

    Parameters
    ----------
    section : array-like of shape (n_clips,)
        Names or numbers.

    Returns
    -------
    ndarray of object, shape (n_clips,)
        Of str and None.

    Examples
    --------
    >>> section_names([1, 1.0, np.float32(1), "01", None, float("nan")])
    array(['1', '1', '1', '01', None, None], dtype=object)
    """
    return np.array([_name(each) for each in np.asarray(section, dtype=object)], dtype=object)


def unique_names(section: Any) -> list[str]:
    """Return the names of sections, each once, in order; missing ones have none."""
    return sorted({name for name in section_names(section) if name is not None})


def _name(section: Any) -> str | None:
    if pd.isna(section):
        return None
    # A column of numbers with a gap is one of floats, of whatever width.
    is_number = isinstance(section, Real) and not isinstance(section, bool)
    return str(int(section) if is_number and float(section).is_integer() else section)
