"""Scaling of spectrograms by what normal training clips are like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sklasd.utils._check_spectrograms import check_spectrograms
from sklasd.utils._metadata import check_exposed, check_normal


def _or_one(scale: Any) -> np.ndarray:
    """Replace a scale of 0, of what is constant, by 1."""
    return np.where(scale > 0, scale, 1)


class SpectrogramScaler(TransformerMixin, BaseEstimator):
    r"""Scale spectrograms to a range, or to mean 0 and variance 1.

    Every value becomes :math:`(x - c) / s`, with :math:`c` and :math:`s` learnt from the normal
    training clips: one pair for all bands, which keeps the shape of a spectrum, or one for each.

    Parameters
    ----------
    method : {"range", "standard"}, default="range"
        "range" maps the least and the greatest value of the training clips to `feature_range`;
        "standard" makes their mean 0 and their variance 1.
    feature_range : (float, float), default=(0.0, 1.0)
        Where "range" maps to; (-1, 1) suits a net that ends in tanh.
    per : {"data", "band"}, default="data"
        Whether one pair of numbers is learnt for the whole data set, or one for each mel band.

    Attributes
    ----------
    centre_ : ndarray of shape (n_mels,), float32
        What is subtracted from each band, in dB.
    scale_ : ndarray of shape (n_mels,), float32
        What each band is divided by, in dB; 1 where the training clips are constant.
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    LogMel : Makes the spectrograms.
    UNetInpaintDetector : Scales by one of these, given as its parameter `scaler`.

    Notes
    -----
    Clips with y == -1 and exposed clips are not learnt from, so that a search over a pipeline
    sees no anomaly. Test clips may leave the range: clipping them would hide what is loud.

    The result lies in memory frame by frame, as that of `LogMel`.

    A (n_clips, n_mels, n_frames) array fits no DataFrame, so there is no `set_output`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.features import SpectrogramScaler
    >>> X = np.array([[[-60.0, -50.0], [-40.0, -20.0]]])  # 1 clip, 2 bands, 2 frames
    >>> SpectrogramScaler().fit_transform(X)
    array([[[0.  , 0.25],
            [0.5 , 1.  ]]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict] = {
        "method": [StrOptions({"range", "standard"})],
        "feature_range": [tuple, list],
        "per": [StrOptions({"data", "band"})],
    }

    def __init__(
        self,
        *,
        method: str = "range",
        feature_range: Sequence[float] = (0.0, 1.0),
        per: str = "data",
    ) -> None:
        self.method = method
        self.feature_range = feature_range
        self.per = per

    def fit(self, X: Any, y: Any = None, *, exposed: Any = None) -> Self:
        """Learn the range, or mean and variance, of normal clips.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; the latter are left out. None takes all for normal.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of other machines, which are left out.

        Returns
        -------
        self : SpectrogramScaler
            The fitted scaler.
        """
        X = check_spectrograms(X)
        normal = check_normal(y, check_exposed(exposed, len(X)))
        return self.fit_blocks(X[clip] for clip in np.flatnonzero(normal))

    def fit_blocks(self, blocks: Iterable[np.ndarray]) -> Self:
        """Learn from normal spectrograms that come one by one, and are never held together.

        Parameters
        ----------
        blocks : iterable of ndarray, each of shape (n_mels, n_frames)
            Spectrograms, or parts of them.

        Returns
        -------
        self : SpectrogramScaler
            The fitted scaler.
        """
        self._validate_params()
        low, high = self._check_range()
        stats = _Statistics()
        for block in blocks:
            stats.add(block)
        least, greatest, mean, deviation = stats.summary(axis=None if self.per == "data" else 1)
        if self.method == "range":
            scale = _or_one((greatest - least) / (high - low))
            centre = least - low * scale
        else:
            centre, scale = mean, _or_one(deviation)
        self.n_features_in_ = len(stats.total)
        shape = (self.n_features_in_,)
        self.centre_ = np.broadcast_to(centre, shape).astype(np.float32)
        self.scale_ = np.broadcast_to(scale, shape).astype(np.float32)
        return self

    def transform(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Scale spectrograms.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            Of the same form as X.
        """
        check_is_fitted(self)
        return self._apply(X, lambda frames: (frames - self.centre_) / self.scale_)

    def inverse_transform(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Undo the scaling.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Scaled spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            In dB.
        """
        check_is_fitted(self)
        return self._apply(X, lambda frames: frames * self.scale_ + self.centre_)

    def _apply(self, X: Any, function: Any) -> np.ndarray | list[np.ndarray]:
        """Map (..., n_frames, n_mels), so that the result lies in memory frame by frame."""
        X = check_spectrograms(X)
        if len(X[0]) != self.n_features_in_:
            raise ValueError(
                f"X has {len(X[0])} mel bands, but SpectrogramScaler was fitted on "
                f"{self.n_features_in_}; use the front end it was fitted with."
            )
        if isinstance(X, list):
            return [np.ascontiguousarray(function(x.T)).T for x in X]
        return np.ascontiguousarray(function(X.transpose(0, 2, 1))).transpose(0, 2, 1)

    def _check_range(self) -> tuple[float, float]:
        low, high = self.feature_range
        if not low < high:
            raise ValueError(f"Got feature_range={self.feature_range!r}; pass (lower, higher).")
        return low, high

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class _Statistics:
    """Range and moments of each band, block by block, merged without loss of digits."""

    def __init__(self) -> None:
        self.count = 0
        self.total = self.square = np.zeros(0)  # sums of x and of squares about the running mean
        self.least = self.greatest = np.zeros(0)

    def add(self, block: np.ndarray) -> None:
        """Take a spectrogram (n_mels, n_frames) in."""
        count, total = block.shape[1], block.sum(axis=1, dtype=np.float64)
        mean = total / count
        square = np.square(block - mean[:, None]).sum(axis=1)
        least, greatest = block.min(axis=1), block.max(axis=1)
        if self.count:
            between = count * self.count / (count + self.count)
            square += self.square + between * (mean - self.total / self.count) ** 2
            least, greatest = np.minimum(least, self.least), np.maximum(greatest, self.greatest)
            total = total + self.total
        self.count += count
        self.total, self.square, self.least, self.greatest = total, square, least, greatest

    def summary(self, axis: int | None) -> tuple[np.ndarray, ...]:
        """Return minimum, maximum, mean and deviation: of each band, or of all (axis None)."""
        mean, variance = self.total / self.count, self.square / self.count
        if axis is not None:
            return self.least, self.greatest, mean, np.sqrt(variance)
        deviation = np.sqrt(variance.mean() + mean.var())
        return self.least.min(), self.greatest.max(), mean.mean(), deviation
