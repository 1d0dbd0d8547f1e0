"""Scaling of spectrograms by the range, or mean and deviation, of normal training clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sklasd.utils._check_spectrograms import check_spectrograms
from sklasd.utils._metadata import check_exposed, check_normal


def _or_one(scale: Any) -> np.ndarray:
    """Replace a scale of 0, which constant clips have, by 1."""
    return np.where(scale > 0, scale, 1)


class SpectrogramScaler(TransformerMixin, BaseEstimator):
    r"""Scale spectrograms to a range, or to mean 0 and variance 1.

    Every value becomes :math:`(x - c) / s`, with :math:`c` and :math:`s` learnt from the normal
    training clips: one pair for all bands, which keeps the shape of a spectrum, or one per band.

    Parameters
    ----------
    method : {"range", "standard"}, default="range"
        "range" maps the least and the greatest value of the training clips to `feature_range`;
        "standard" makes their mean 0 and their variance 1.
    feature_range : (float, float), default=(0.0, 1.0)
        Target of "range"; (-1, 1) suits a net that ends in tanh.
    per : {"data", "band"}, default="data"
        Whether one pair of numbers is learnt for the whole data set, or one per mel band.

    Attributes
    ----------
    centre_ : ndarray of shape (n_mels,), float32
        Number that is subtracted from each band, in dB.
    scale_ : ndarray of shape (n_mels,), float32
        Divisor of each band, in dB; 1 where the training clips are constant.
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    LogMel : Makes the spectrograms.
    UNetInpaintDetector : Takes such a scaler as its parameter `scaler`.

    Notes
    -----
    Nothing is learnt from clips with y == -1 and from exposed clips, so that a search over a
    pipeline learns from no anomaly. Test clips may leave the range: clipping them would hide loud
    faults.

    The result lies in memory frame by frame, like that of `LogMel`.

    An array (n_clips, n_mels, n_frames) fits no DataFrame, so there is no `set_output`.

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
            +1 normal, -1 anomalous; the latter are left out. With None, all clips are normal.
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
        """Learn from normal spectrograms one by one, without holding all of them in memory.

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
        bands: Any = MinMaxScaler() if self.method == "range" else StandardScaler()
        for block in blocks:
            bands.partial_fit(block.T)  # frames are its samples, bands its features
        if self.method == "range":
            least, greatest = bands.data_min_, bands.data_max_
            if self.per == "data":
                least, greatest = least.min(), greatest.max()
            scale = _or_one((greatest - least) / (high - low))
            centre = least - low * scale
        elif self.per == "data":
            centre = bands.mean_.mean()
            # The variance of all values: that within bands, and that between their means.
            scale = _or_one(np.sqrt(bands.var_.mean() + bands.mean_.var()))
        else:
            centre, scale = bands.mean_, bands.scale_
        self.n_features_in_ = bands.n_features_in_
        # One number per band in either case: nets scale by these arrays whatever was learnt.
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
            An array or a list, like X.
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
        """Apply a function of (..., n_frames, n_mels), and return bands first."""
        X = check_spectrograms(X)
        if len(X[0]) != self.n_features_in_:
            raise ValueError(
                f"X has {len(X[0])} mel bands, but SpectrogramScaler was fitted on "
                f"{self.n_features_in_}; use the front end it was fitted with."
            )
        # Computed with the bands last, so that the result lies in memory frame by frame.
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
