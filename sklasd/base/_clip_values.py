"""What was measured on windows, gathered by clip while batches run across clips."""

from __future__ import annotations

from typing import Any

import numpy as np

_POOLING: dict[str, Any] = {"mean": np.mean, "max": np.max, "min": np.min}


class ClipValues:
    """Values of windows that come batch by batch, in order.

    Of scalars all are kept, as any pooling may be asked for. Of vectors only sums over each clip
    are: those of an hour's windows would fill the memory. A sum goes on window by window across
    batches, so that it does not depend on where a batch ended.

    Parameters
    ----------
    clip : ndarray of shape (n_windows,)
        The clip of each window; windows of a clip lie next to each other.

    Examples
    --------
    >>> values = ClipValues(np.array([4, 4, 7]))
    >>> for batch in ([[1.0], [3.0]], [[5.0]]):
    ...     values.add(np.array(batch))
    >>> values.by_clip()
    array([[2.],
           [5.]])
    """

    def __init__(self, clip: np.ndarray) -> None:
        self.first = np.flatnonzero(np.diff(clip, prepend=-1))  # of each clip's windows
        self.count = np.diff(self.first, append=len(clip))
        self.row = np.repeat(np.arange(len(self.first)), self.count)  # of each window's clip
        self.n_seen = 0
        # Filled in place: many small arrays, kept between large ones that go, would split the heap.
        self.scalars = np.empty(len(clip))
        self.sums: np.ndarray | None = None

    def add(self, batch: np.ndarray) -> None:
        """Take the next windows' values in, (batch,) or (batch, n_features)."""
        rows = self.row[self.n_seen : self.n_seen + len(batch)]
        if batch.ndim == 1:
            self.scalars[self.n_seen : self.n_seen + len(batch)] = batch
        else:
            if self.sums is None:
                self.sums = np.zeros((len(self.first), batch.shape[1]))
            # One after the other: sums in pairs would depend on where a batch ends.
            np.add.at(self.sums, rows, batch)
        self.n_seen += len(batch)

    def by_clip(self) -> np.ndarray | list[np.ndarray]:
        """Return the mean vectors (n_clips, n_features), or each clip's scalars (n_windows,)."""
        if self.sums is not None:
            return self.sums / self.count[:, None]
        return np.split(self.scalars, self.first[1:])


def pool(values: dict[str, Any], pooling: str) -> dict[str, np.ndarray]:
    """Make one value per clip of each clip's windows; mean vectors are taken as they are.

    Examples
    --------
    >>> pool({"error": [np.array([1.0, 3.0]), np.array([4.0])]}, "mean")["error"]
    array([2., 4.])
    """
    function = _POOLING[pooling]
    return {
        name: clips if isinstance(clips, np.ndarray) else np.array([function(x) for x in clips])
        for name, clips in values.items()
    }
