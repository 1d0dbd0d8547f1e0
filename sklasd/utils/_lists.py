"""Lists in messages: some of many, and how many more there are."""

from __future__ import annotations

from collections.abc import Sized
from itertools import islice
from typing import Any, Protocol


class _Items(Sized, Protocol):
    def __iter__(self) -> Any: ...


def name_some(items: _Items, most: int = 10) -> str:
    """List items in a message, but no more than a reader wants to see.

    Parameters
    ----------
    items : sized iterable
        Names, positions or sentences.
    most : int, default=10
        How many are listed.

    Returns
    -------
    str
        Separated by commas; the number of the others at the end.

    Examples
    --------
    >>> name_some([3, 1, 4], most=2)
    '3, 1 and 1 more'
    >>> name_some(["fan", "pump"])
    'fan, pump'
    """
    listed = ", ".join(map(str, islice(items, most)))
    return listed if len(items) <= most else f"{listed} and {len(items) - most} more"
