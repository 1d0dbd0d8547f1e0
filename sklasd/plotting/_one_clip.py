"""One of many clips, as displays of a single clip take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sklasd.inspection import InspectedClip, inspect_clips
from sklasd.inspection._call_detector import check_has_map
from sklasd.inspection._inspect_clips import see_clips


def see_one(estimator: Any, X: Any, clip: int, *, with_map: bool) -> InspectedClip:
    """Inspect the clip at a position, and no other.

    Parameters
    ----------
    estimator : estimator
        As in `inspect_clips`.
    X : clips
        As in `inspect_clips`.
    clip : int
        Position; negative ones count from the end.
    with_map : bool
        Whether the anomaly map is wanted, which the detector then has to have.

    Returns
    -------
    InspectedClip
        Named by its file, or by its position.
    """
    n_clips = _num_samples(X)
    if not -n_clips <= clip < n_clips:
        raise ValueError(f"Got clip={clip}, but there are {n_clips} clips.")
    if with_map:
        check_has_map(estimator)
    position = clip % n_clips
    (seen,) = (inspect_clips if with_map else see_clips)(estimator, _safe_indexing(X, [position]))
    is_named = isinstance(seen.source, str) or hasattr(seen.source, "__fspath__")
    return seen if is_named else replace(seen, name=f"clip {position}")


def regions_of(X: Any, clip: int, regions: Any) -> Sequence[Any]:
    """Return the regions of a clip's fault: those given, or of the table's column."""
    if regions is None and "regions" in getattr(X, "columns", ()):
        regions = X["regions"].iloc[clip]
    return () if regions is None else regions
