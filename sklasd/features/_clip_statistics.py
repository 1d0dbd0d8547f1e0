"""A few numbers per band that sum a clip up: level, variation, repetition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklasd.clips import ClipError
from sklasd.features._mel_scale import band_names
from sklasd.utils._validation import check_spectrograms

_POWER_FLOOR = 1e-6  # dB² added to powers before their logarithm: bands that never change
_STILL = 1e-12  # dB² of variation under which a band repeats nothing, not even itself


class ClipStatistics(TransformerMixin, BaseEstimator):
    r"""Sum spectrograms up by statistics of each band over time, one row per clip.

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
                         :math:`z = x - \bar x`: what repeats after l frames
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
        Number of modulation bands; narrow ones at the low end share a bin and are one.
    modulation_length : int, default=64
        Frames that a modulation spectrum is made of; those of a clip overlap by half and are
        averaged, a shorter clip is padded with zeros.
    frequencies : array-like of shape (n_mels,), default=None
        Centres of the bands in Hz, such as `LogMel.mel_frequencies`, to name the columns by. None
        takes the names that the step before gives them, which are in Hz behind `LogMel`.

    Attributes
    ----------
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    StatisticsDetector : Detects anomalies by these numbers, and tells where they come from.
    LogMel : Makes the spectrograms.

    Notes
    -----
    A clip is summed up by itself: its row does not depend on the others, and clips may differ in
    length. Nothing is learnt.

    The ranked mean is the time-weighted frequency-domain representation (TWFR) of [1]_, whose r is
    chosen for each machine by its test clips (0.46 for valves to 1 for fans).

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
        "statistics": [
            StrOptions(
                {
                    "quantiles", "mean", "deviation", "ranked_mean", "shape", "autocorrelation",
                    "modulation",
                }
            ),
            tuple, list,
        ],
        "quantiles": [tuple, list, np.ndarray],
        "decay": [Interval(Real, 0, 1, closed="both")],
        "lags": [tuple, list, np.ndarray],
        "n_modulations": [Interval(Integral, 1, None, closed="left")],
        "modulation_length": [Interval(Integral, 4, None, closed="left")],
        "frequencies": ["array-like", None],
    }  # fmt: skip

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
            Spectrograms, of which the number of bands is kept to name the columns.
        y : ignored
            Present for the convention.

        Returns
        -------
        self : ClipStatistics
            The same transformer.
        """
        self.check_params()
        self.n_features_in_ = len(check_spectrograms(X)[0])
        self.check_params(self.n_features_in_)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Sum clips up.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float32
            All bands of the first number of the first statistic, all bands of the second, and so
            on; levels and deviations in dB.

        Raises
        ------
        ValueError
            For clips that are no longer than the greatest lag, by their number.
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
        return np.stack([self._sum_up(x) for x in X])

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` and `transform` do before they look at any clip.

        Parameters
        ----------
        n_features : int, default=None
            Mel bands that are going to come; None where that is not known.

        Raises
        ------
        ValueError
            For values that cannot be.
        """
        self._validate_params()
        names = self._names()
        unknown = [name for name in names if name not in _STATISTICS]
        if unknown or not names or len(set(names)) < len(names):
            raise ValueError(
                f"Got statistics={self.statistics!r}; pass one or several, each once, of "
                f"{', '.join(_STATISTICS)}."
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
            Names of the bands, as a `Pipeline` passes them on from `LogMel`.

        Returns
        -------
        ndarray of str, shape (n_features,)
            Such as "437Hz_q0.95" or "437Hz_autocorrelation_4", lags in frames; modulation
            frequencies in cycles per frame. Bands of unknown frequency are "band0" and so on.
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
        labels = [label for name in self._names() for label in _STATISTICS[name].labels(self)]
        return np.array([f"{band}_{label}" for label in labels for band in bands], dtype=object)

    def spread(self, X: Any, shares: Any, typical: Any) -> list[np.ndarray]:
        """Lay what each number contributes to an anomaly over the frames that it comes from.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.
        shares : array of shape (n_clips, n_features)
            A contribution for each number, not negative.
        typical : array of shape (n_features,)
            What normal clips are like.

        Returns
        -------
        list of ndarray of shape (n_mels, n_frames), float32
            The sum over a map is the sum of the clip's shares. Those of a level go to the frames
            beyond the typical one, on the side on which the clip's own is; those of a variation to
            the frames that vary.
        """
        X = check_spectrograms(X)
        return [
            self._spread(x, share, np.asarray(typical)) for x, share in zip(X, shares, strict=True)
        ]

    def _names(self) -> list[str]:
        return [self.statistics] if isinstance(self.statistics, str) else list(self.statistics)

    def _check_lengths(self, n_frames: Sequence[int]) -> None:
        greatest = max(self.lags) if "autocorrelation" in self._names() else 0
        short = {
            i: f"clip {i} has only {n} frames" for i, n in enumerate(n_frames) if n <= greatest
        }
        if short:
            named = ", ".join([*short.values()][:10])
            named += f" and {len(short) - 10} more" * (len(short) > 10)
            message = (
                f"Got lags={self.lags!r}, but {named}; record longer clips, or pass smaller lags."
            )
            raise ClipError(len(n_frames), short, message)

    def _sum_up(self, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x)  # sums depend on the layout in the last bit
        ordered = np.sort(x, axis=1) if _IN_ORDER.intersection(self._names()) else x
        parts = [_STATISTICS[name].measure(self, x, ordered) for name in self._names()]
        return np.concatenate(parts, axis=None, dtype=np.float32)

    def _spread(self, x: np.ndarray, shares: np.ndarray, typical: np.ndarray) -> np.ndarray:
        own = self._sum_up(x)
        n_mels, n_frames = x.shape
        result = np.zeros(x.shape)
        # (n_numbers, n_mels) each
        blocks = (values.reshape(-1, n_mels, 1) for values in (own, shares, typical))
        kinds = [_STATISTICS[name] for name in self._names()]
        statistics = [kind for kind in kinds for _ in kind.labels(self)]
        for statistic, number, share, usual in zip(statistics, *blocks, strict=True):
            if statistic.level is None:
                beyond = np.square(x - x.mean(axis=1, keepdims=True))
            else:
                beyond = (np.sign(number - usual) * (statistic.level(x) - usual)).clip(min=0)
            total = beyond.sum(axis=1, keepdims=True)
            even = np.full_like(beyond, 1 / n_frames)  # where no frame tells more than another
            result += share * np.divide(beyond, total, out=even, where=total > 0)
        return result.astype(np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


# -- the statistics: each gets the parameters, a clip (n_mels, n_frames) and its sorted frames,
# -- and returns (n_numbers, n_mels)


def _quantiles(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    place = np.asarray(of.quantiles) * (x.shape[1] - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, x.shape[1] - 1)
    return (ordered[:, low] + (place - low) * (ordered[:, high] - ordered[:, low])).T


def _mean(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    return x.mean(axis=1, dtype=np.float64)


def _deviation(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    return x.std(axis=1, dtype=np.float64)


def _ranked_mean(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    weights = float(of.decay) ** np.arange(x.shape[1])  # 0**0 is 1: the maximum
    return ordered[:, ::-1] @ (weights / weights.sum())


def _shape(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    mean = _mean(of, x, ordered)
    return mean - mean.mean()


def _autocorrelation(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    # In double: of a band that never changes, a mean in single leaves noise that repeats itself.
    z = x - x.mean(axis=1, keepdims=True, dtype=np.float64)
    power = np.einsum("ij,ij->i", z, z)
    still = power < _STILL * x.shape[1]
    lagged = [np.einsum("ij,ij->i", z[:, lag:], z[:, :-lag]) for lag in of.lags]
    return np.where(still, 0, lagged / np.where(still, 1, power))


def _modulation(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    length = of.modulation_length
    z = np.pad(x - x.mean(axis=1, keepdims=True), ((0, 0), (0, max(0, length - x.shape[1]))))
    pieces = np.lib.stride_tricks.sliding_window_view(z, length, axis=1)[:, :: length // 2]
    spectrum = np.fft.rfft(pieces * np.hanning(length), axis=2)
    power = np.square(np.abs(spectrum)).mean(axis=1)  # (n_mels, 1 + length // 2)
    bands = [power[:, low:high].mean(axis=1) for low, high in pairwise(_modulation_edges(of))]
    return 10 * np.log10(np.stack(bands) + _POWER_FLOOR)


def _modulation_edges(of: ClipStatistics) -> np.ndarray:
    """Return the bins between which modulation bands lie, without the constant one."""
    edges = np.geomspace(1, of.modulation_length // 2 + 1, of.n_modulations + 1)
    return np.unique(edges.round().astype(int))


def _modulation_labels(of: ClipStatistics) -> list[str]:
    middles = [(low + high - 1) / 2 for low, high in pairwise(_modulation_edges(of))]
    return [f"modulation_{middle / of.modulation_length:.6g}" for middle in middles]


class _Statistic(NamedTuple):
    """How a statistic is measured, what its numbers are called, and of which levels it speaks."""

    measure: Callable[[ClipStatistics, np.ndarray, np.ndarray], np.ndarray]
    labels: Callable[[ClipStatistics], list[str]]
    level: Callable[[np.ndarray], np.ndarray] | None  # of each frame; None for a variation


def _level(x: np.ndarray) -> np.ndarray:
    return x


def _relative_level(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=0)


_STATISTICS = {
    "quantiles": _Statistic(_quantiles, lambda of: [f"q{q:g}" for q in of.quantiles], _level),
    "mean": _Statistic(_mean, lambda of: ["mean"], _level),
    "deviation": _Statistic(_deviation, lambda of: ["deviation"], None),
    "ranked_mean": _Statistic(_ranked_mean, lambda of: ["ranked_mean"], _level),
    "shape": _Statistic(_shape, lambda of: ["shape"], _relative_level),
    "autocorrelation": _Statistic(
        _autocorrelation, lambda of: [f"autocorrelation_{lag}" for lag in of.lags], None
    ),
    "modulation": _Statistic(_modulation, _modulation_labels, None),
}
_IN_ORDER = {"quantiles", "ranked_mean"}  # of which each band's values are wanted sorted
