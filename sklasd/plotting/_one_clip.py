"""Displays of one clip, and how they pick it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sklasd.inspection import InspectedClip, inspect_clips
from sklasd.inspection._call_detector import check_has_map
from sklasd.inspection._inspect_clips import see_clips
from sklasd.plotting._matplotlib import Display


@dataclass(eq=False, repr=False, kw_only=True)
class ClipDisplay(Display):
    """Base of displays of one clip."""

    _needs_map: ClassVar[bool] = True

    times: Any = None
    unit: str = ""
    name: str = ""
    regions: Sequence[Any] = ()

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        clip: int = 0,
        regions: Any = None,
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Draw one of several clips.

        Parameters
        ----------
        estimator : estimator
            For a spectrogram: a front end, or an estimator that begins with one. For an anomaly
            map: a fitted pipeline whose detector has `anomaly_map`, a search over one, or a wrapper
            of either.
        X : clips
            Input of the first step.
        clip : int, default=0
            Position of the clip in `X`.
        regions : sequence of (start, end, low, high), default=None
            Frames to draw, in seconds and Hz; None reads the column `regions` of a clip table, if
            it has one.
        ax, **how
            As in `plot`.

        Returns
        -------
        Display
            After `plot`.

        Raises
        ------
        ValueError
            If there is no such clip, or the detector cannot tell where a clip is anomalous.
        """
        seen = inspect_one(estimator, X, clip, with_map=cls._needs_map)
        regions = find_regions(X, clip, regions)
        display = cls(**cls._read(seen), times=seen.times, name=seen.name, regions=regions)
        return display.plot(ax, **how)

    @classmethod
    def _read(cls, seen: InspectedClip) -> dict[str, Any]:
        """Return the arguments of a display that a clip has, beside those of all displays."""
        raise NotImplementedError

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw the display."""
        raise NotImplementedError

    def _label(self, name: str) -> str:
        return f"{name} ({self.unit})" if self.unit else name


def inspect_one(estimator: Any, X: Any, clip: int, *, with_map: bool) -> InspectedClip:
    """Inspect the clip at a position, and no other one.

    It is named by its file, or by its position in `X`. Negative positions count from the end.
    """
    # Clips are a table, an array or a list: scikit-learn's helpers count and index all of them.
    n_clips = _num_samples(X)
    if not -n_clips <= clip < n_clips:
        raise ValueError(
            f"Got clip={clip}, but there are {n_clips} clips; pass a position below {n_clips}."
        )
    if with_map:
        check_has_map(estimator)  # before the clip is read, and with a message about the detector
    position = clip % n_clips
    (seen,) = (inspect_clips if with_map else see_clips)(estimator, _safe_indexing(X, [position]))
    # `seen` would count arrays from 0, since only one clip was passed.
    has_file = isinstance(seen.source, str) or hasattr(seen.source, "__fspath__")
    return seen if has_file else replace(seen, name=f"clip {position}")


def find_regions(X: Any, clip: int, regions: Any) -> Sequence[Any]:
    """Return the regions of a clip's fault: the given ones, or those of the clip table."""
    if regions is None and "regions" in getattr(X, "columns", ()):
        regions = X["regions"].iloc[clip]
    return () if regions is None else regions
