"""A fit that leaves either a new model or the old one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def all_or_nothing(detector: Any) -> Iterator[None]:
    """Forget what an earlier fit has learnt, but restore it where the new fit does not succeed."""
    before = dict(vars(detector))
    for name in before.get("_learnt_names", ()):
        vars(detector).pop(name, None)
    unlearnt = set(vars(detector))  # parameters, and what scikit-learn sets for a while
    try:
        yield
    except BaseException:  # Ctrl-C, too
        vars(detector).clear()
        vars(detector).update(before)
        raise
    detector._learnt_names = tuple(sorted(vars(detector).keys() - unlearnt))
