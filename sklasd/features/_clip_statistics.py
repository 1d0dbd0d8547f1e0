"""Clips summarised by a few numbers per band: level, variation, repetition."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklasd.clips import ClipError
from sklasd.features._band_statistics import STATISTICS
from sklasd.features._mel_scale import band_names
from sklasd.utils._check_spectrograms import check_spectrograms


class ClipStatistics(TransformerMixin, BaseEstimator):
    r"""Summarise spectrograms by statistics of each band over time, one row per clip.

    ===================  ======================================================  ==================
    statistic            of a band :math:`x_1 \dots x_T` in dB                   numbers per band
    ===================  ======================================================  ==================
    ``quantiles``        its quantiles over time                                 ``len(quantiles)``
    ``mean``             :math:`\bar x`                                          1
    ``deviation``        standard deviation over time                            1
    ``ranked_mean``      :math:`\sum_i r^i x_{(i)} / \sum_i r^i` of the values   1
                         from the loudest :math:`x_{(0)}` down: the mean for
                         r = 1, the maximum for r = 0
    ``shape``            :math:`\bar x` less the mean of all bands: the          1
                         spectrum without its level
    ``autocorrelation``  :math:`\sum_t z_t z_{t+l} / \sum_t z_t^2` with          ``len(lags)``
                         :math:`z = x - \bar x`: repetition after l frames
    ``modulation``       power of its variation, in dB, in bands of modulation   at most
                         frequency that are spaced logarithmically               ``n_modulations``
    ===================  ======================================================  ==================

    Parameters
    ----------
    statistics : str or sequence of str, default=("quantiles",)
        Which ones, in the order of the columns.
    quantiles : sequence of float, default=(0.05, 0.5, 0.95)
        Which quantiles, from 0 to 1.
    decay : float, default=0.9
        :math:`r` of the ranked mean, from 0 to 1.
    lags : sequence of int, default=(1, 2, 4, 8, 16)
        Lags of the autocorrelation, in frames.
    n_modulations : int, default=16
        Number of modulation bands; narrow ones at the low end share a bin and become one.
    modulation_length : int, default=64
        Frames of a modulation spectrum. A clip's spectra overlap by half and are averaged; a
        shorter clip is padded with zeros.
    frequencies : array-like of shape (n_mels,), default=None
        Centres of the bands in Hz, such as `LogMel.mel_frequencies`, for the names of the columns.
        None takes the names from the step before, which are in Hz after `LogMel`.

    Attributes
    ----------
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    StatisticsDetector : Detects anomalies by these numbers, and maps them back to time.
    LogMel : Makes the spectrograms.

    Notes
    -----
    The row of a clip does not depend on other clips, and clips may differ in length. Nothing is
    learnt.

    The ranked mean is the time-weighted frequency-domain representation (TWFR) of [1]_, which
    chooses r for each machine by its test clips (0.46 for valves to 1 for fans).

    A clip costs one sort of each band for quantiles and ranked mean, a multiply-add per value and
    lag for the autocorrelation, and a short FFT per 32 frames and band for the modulation.

    References
    ----------
    .. [1] J. Guan, Y. Liu, Q. Zhu, T. Zheng, J. Han, W. Wang, "Time-weighted frequency domain audio
       representation with GMM estimator for anomalous sound detection", ICASSP 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.features import ClipStatistics
    >>> X = np.arange(12.0).reshape(1, 2, 6)  # 1 clip, 2 bands, 6 frames
    >>> ClipStatistics(("mean", "quantiles"), quantiles=(0.0, 0.5)).fit_transform(X)
    array([[2.5, 8.5, 0. , 6. , 2.5, 8.5]], dtype=float32)
    >>> ClipStatistics(("mean",)).fit(X).get_feature_names_out(["100Hz", "200Hz"])
    array(['100Hz_mean', '200Hz_mean'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict] = {
        "statistics": [StrOptions(set(STATISTICS)), tuple, list],
        "quantiles": [tuple, list, np.ndarray],
        "decay": [Interval(Real, 0, 1, closed="both")],
        "lags": [tuple, list, np.ndarray],
        "n_modulations": [Interval(Integral, 1, None, closed="left")],
        "modulation_length": [Interval(Integral, 4, None, closed="left")],
        "frequencies": ["array-like", None],
    }

    def __init__(
        self,
        statistics: str | Sequence[str] = ("quantiles",),
        *,
        quantiles: Sequence[float] = (0.05, 0.5, 0.95),
        decay: float = 0.9,
        lags: Sequence[int] = (1, 2, 4, 8, 16),
        n_modulations: int = 16,
        modulation_length: int = 64,
        frequencies: Any = None,
    ) -> None:
        self.statistics = statistics
        self.quantiles = quantiles
        self.decay = decay
        self.lags = lags
        self.n_modulations = n_modulations
        self.modulation_length = modulation_length
        self.frequencies = frequencies

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters; nothing is learnt.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms; their number of bands is stored to name the columns.
        y : ignored
            Present for the convention.

        Returns
        -------
        self : ClipStatistics
            The same transformer.
        """
        self.check_params()  # before X, so that a wrong parameter is not reported as wrong data
        self.n_features_in_ = len(check_spectrograms(X)[0])
        self.check_params(self.n_features_in_)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Summarise clips.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float32
            The first number of the first statistic for all bands, then the second, and so on;
            levels and deviations in dB.

        Raises
        ------
        ClipError
            (a ValueError) that names the clips with no more frames than the greatest lag.
        """
        self.check_params()
        X = check_spectrograms(X)
        self.check_params(len(X[0]))
        if len(X[0]) != getattr(self, "n_features_in_", len(X[0])):
            raise ValueError(
                f"X has {len(X[0])} mel bands, but ClipStatistics was fitted on "
                f"{self.n_features_in_}; use the front end it was fitted with."
            )
        self._check_lengths([x.shape[1] for x in X])
        return np.stack([self._summarise(x) for x in X])

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` and `transform` do before they read any clip.

        Parameters
        ----------
        n_features : int, default=None
            Number of mel bands of the data, if it is known.

        Raises
        ------
        ValueError
            For invalid values, and for `frequencies` of another number of bands.
        """
        self._validate_params()
        names = self._names()
        unknown = [name for name in names if name not in STATISTICS]
        if unknown or not names or len(set(names)) < len(names):
            raise ValueError(
                f"Got statistics={self.statistics!r}; pass one or several, each once, of "
                f"{', '.join(STATISTICS)}."
            )
        levels = np.asarray(self.quantiles, dtype=float)
        is_bad = not levels.size or len(np.unique(levels)) < levels.size
        if levels.ndim != 1 or is_bad or not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(
                f"Got quantiles={self.quantiles!r}; pass numbers from 0 to 1, each once."
            )
        lags = np.asarray(self.lags)
        is_bad = not lags.size or len(np.unique(lags)) < lags.size
        if lags.ndim != 1 or is_bad or lags.dtype.kind not in "iu" or lags.min() < 1:
            raise ValueError(
                f"Got lags={self.lags!r}; pass whole numbers of frames from 1 on, each once."
            )
        # Pipelines check before they read a clip: the number of bands comes from the step before.
        n_named = n_features if self.frequencies is None else len(self.frequencies)
        if n_features is not None and n_named != n_features:
            raise ValueError(
                f"Got {n_named} frequencies for {n_features} mel bands; pass "
                "frequencies=None, or the mel_frequencies of the LogMel before."
            )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns by band and statistic.

        Parameters
        ----------
        input_features : array-like of str, shape (n_mels,), default=None
            Names of the bands, which a `Pipeline` passes on from `LogMel`.

        Returns
        -------
        ndarray of str, shape (n_features,)
            Such as "437Hz_q0.95", or "437Hz_autocorrelation_4" with a lag in frames; modulation
            frequencies are in cycles per frame. Without frequencies, bands are "band0" and so on.
        """
        check_is_fitted(self, "n_features_in_")
        self.check_params(self.n_features_in_)
        if self.frequencies is not None:
            bands = band_names(self.frequencies)
        elif input_features is not None:
            bands = list(input_features)
            if len(bands) != self.n_features_in_:
                raise ValueError(
                    f"Got {len(bands)} input_features for {self.n_features_in_} mel bands; pass "
                    "one name for each."
                )
        else:
            bands = [f"band{i}" for i in range(self.n_features_in_)]
        labels = [label for name in self._names() for label in STATISTICS[name].labels(self)]
        return np.array([f"{band}_{label}" for label in labels for band in bands], dtype=object)

    def spread(self, X: Any, shares: Any, typical: Any) -> list[np.ndarray]:
        """Distribute the contribution of each number over the frames that it comes from.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.
        shares : array of shape (n_clips, n_features)
            Contributions of the numbers to an anomaly score, not negative.
        typical : array of shape (n_features,)
            The numbers of normal clips.

        Returns
        -------
        list of ndarray of shape (n_mels, n_frames), float32
            The sum over a map is the sum of the clip's shares. The share of a level goes to the
            frames that exceed the typical one in the direction of the clip's own, the share of a
            variation to the frames that vary.
        """
        X = check_spectrograms(X)
        return [
            self._spread(x, share, np.asarray(typical)) for x, share in zip(X, shares, strict=True)
        ]

    def _names(self) -> list[str]:
        return [self.statistics] if isinstance(self.statistics, str) else list(self.statistics)

    def _check_lengths(self, n_frames: Sequence[int]) -> None:
        greatest = max(self.lags) if "autocorrelation" in self._names() else 0
        short = {i: f"has only {n} frames" for i, n in enumerate(n_frames) if n <= greatest}
        if short:
            sentence = (
                f"Got lags={self.lags!r}, but {{clips}}; record longer clips, or pass smaller lags."
            )
            raise ClipError(len(n_frames), short, sentence=sentence)

    def _summarise(self, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x)  # sums depend on the layout in the last bit
        kinds = [STATISTICS[name] for name in self._names()]
        # Sorted once for all statistics, and only where one needs it.
        ordered = np.sort(x, axis=1) if any(kind.needs_order for kind in kinds) else x
        parts = [kind.measure(self, x, ordered) for kind in kinds]
        return np.concatenate(parts, axis=None, dtype=np.float32)

    def _spread(self, x: np.ndarray, shares: np.ndarray, typical: np.ndarray) -> np.ndarray:
        own = self._summarise(x)
        n_mels, n_frames = x.shape
        result = np.zeros(x.shape)
        # (n_numbers, n_mels, 1) each: a number of a band against the frames of that band
        blocks = (values.reshape(-1, n_mels, 1) for values in (own, shares, typical))
        kinds = [STATISTICS[name] for name in self._names()]
        statistics = [kind for kind in kinds for _ in kind.labels(self)]
        for statistic, number, share, usual in zip(statistics, *blocks, strict=True):
            # A variation comes from all frames off the mean. A level above (below) the typical one
            # comes from the frames above (below) it.
            if statistic.level is None:
                beyond = np.square(x - x.mean(axis=1, keepdims=True))
            else:
                beyond = (np.sign(number - usual) * (statistic.level(x) - usual)).clip(min=0)
            total = beyond.sum(axis=1, keepdims=True)
            even = np.full_like(beyond, 1 / n_frames)  # where all frames are as typical
            result += share * np.divide(beyond, total, out=even, where=total > 0)
        return result.astype(np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags
