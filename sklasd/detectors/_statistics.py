"""Detection by statistics of each band over time: good in seconds, and without a net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import OneToOneFeatureMixin, clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklasd.backends import MahalanobisDetector
from sklasd.base import BaseDetector, TrainingClips
from sklasd.base._fit_with import check_params_of, fit_as_scorer, score_rows
from sklasd.base._spectrogram_input import read_spectrograms
from sklasd.base._unwrap import detector_of
from sklasd.clips._spectrograms import Spectrograms, join_maps
from sklasd.features import ClipStatistics


@dataclass(frozen=True)
class _ClipRows:
    """Statistics of clips, a row each, and what they were computed from."""

    rows: np.ndarray  # (n_clips, n_features)
    spectrograms: Spectrograms

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def are_silent(self) -> np.ndarray:
        return self.spectrograms.are_silent

    @property
    def n_mels(self) -> int:
        return self.spectrograms.n_mels


def _can_explain(detector: StatisticsDetector) -> bool:
    """Tell whether the back end knows what each statistic contributes: it mixes none."""
    backend = detector._backend()
    between = backend[:-1].named_steps.values() if isinstance(backend, Pipeline) else ()
    keeps = all(isinstance(step, OneToOneFeatureMixin) for step in between)
    return keeps and hasattr(detector_of(backend), "contributions")


class StatisticsDetector(BaseDetector):
    r"""Detect anomalies by statistics of each band over time, and a back end that compares them.

    A clip becomes one row of numbers (`ClipStatistics`); by default these are standardised, and the
    score is minus their Mahalanobis distance to the normal clips, with a covariance that is shrunk
    by Ledoit and Wolf's rule. There is no net: 60 clips are learnt in less than a
    second, of which each was left out in turn to set the threshold.

    Parameters
    ----------
    statistics : str, sequence of str or ClipStatistics, default="quantiles"
        What a clip is summed up by; names are those of `ClipStatistics`.
    backend : estimator, default=None
        With `fit` and `score_samples` (higher is more normal), or a pipeline that ends in one, on
        rows of statistics. None takes ``make_pipeline(StandardScaler(),
        MahalanobisDetector(covariance="shrunk", per_domain=False))``.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``. A callable gets the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are made. "auto" leaves each clip out in turn of up to 100, deals
        20 folds of up to 200, five of up to 1,000 (or with groups), and holds out a quarter of
        more; with a back end that takes longer, as for nets. An int is the number of folds, each
        scored by what was learnt from the others; a scikit-learn splitter deals them. None takes
        the training clips' own scores.

    Attributes
    ----------
    statistics_ : ClipStatistics
        What clips are summed up by.
    backend_ : estimator
        The fitted back end.
    typical_ : ndarray of shape (n_features,)
        Median of each statistic over the normal training clips.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    sklasd.FusionDetector : Several of these, by different statistics, as one detector.
    sklasd.features.ClipStatistics : The statistics.

    Notes
    -----
    The map is made of what each statistic contributes to the distance, which no net can tell as
    exactly: `MahalanobisDetector.contributions` are not negative and add up to the distance;
    `ClipStatistics.spread` lays each over the frames that it comes from. So the sum over a map is
    the distance.

    `exposed` and `section` are not used, and no back end is told of them; `domain` is passed on to
    one that takes it.

    References
    ----------
    .. [1] O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis, 2004.

    Examples
    --------
    >>> from sklasd import LogMel, StatisticsDetector, make_pipeline
    >>> from sklasd.datasets import make_machine_clips
    >>> waves, table = make_machine_clips("fan", duration=2.0, random_state=0)
    >>> train = (table["split"] == "train").to_numpy()
    >>> pipeline = make_pipeline(LogMel(n_fft=2048), StatisticsDetector()).fit(waves[train])
    >>> pipeline.predict(waves[~train][-1:])  # a fault
    array([-1])
    """

    _map_unit = "share of the distance"
    _parameter_constraints: ClassVar[dict] = {
        **BaseDetector._parameter_constraints,
        "statistics": [str, tuple, list, ClipStatistics],
        "backend": [HasMethods(["fit", "score_samples"]), None],
    }

    def __init__(
        self,
        statistics: str | Sequence[str] | ClipStatistics = "quantiles",
        *,
        backend: Any = None,
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
    ) -> None:
        self.statistics = statistics
        self.backend = backend
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration

    def _backend(self) -> Any:
        if self.backend is not None:
            return self.backend
        # Not per domain: ten target clips, as in DCASE, make no covariance of hundreds of numbers.
        distance = MahalanobisDetector(covariance="shrunk", per_domain=False)
        return make_pipeline(StandardScaler(), distance)

    def _auto_calibration(self, clips: TrainingClips) -> str:
        end = detector_of(self._backend())
        is_quick = isinstance(end, BaseDetector) and end._auto_calibration(clips) != "few folds"
        return "many folds" if is_quick else "few folds"

    def _unfitted_statistics(self) -> ClipStatistics:
        is_ready = isinstance(self.statistics, ClipStatistics)
        return clone(self.statistics) if is_ready else ClipStatistics(self.statistics)

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        self._unfitted_statistics().check_params(n_features)
        check_params_of(self._backend())

    def _prepare(self, X: Any, *, reset: bool) -> _ClipRows:
        spectrograms = read_spectrograms(self, X, reset=reset)
        if reset:  # else those of the fit: a changed parameter takes effect at the next one
            self.statistics_ = self._unfitted_statistics().fit(list(spectrograms))
        return _ClipRows(self.statistics_.transform(list(spectrograms)), spectrograms)

    def _learn(self, clips: TrainingClips) -> None:
        index = clips.normal_index
        rows = clips.data.rows[index]
        domain = None if clips.domain is None else clips.domain[index]
        self.backend_ = fit_as_scorer(clone(self._backend()), rows, domain=domain)
        self.typical_ = np.median(rows, axis=0)

    def _score_samples(
        self, data: _ClipRows, index: np.ndarray | None = None, section: Any = None
    ) -> np.ndarray:
        return score_rows(self.backend_, data.rows if index is None else data.rows[index])

    @available_if(_can_explain)
    def contributions(self, X: Any) -> np.ndarray:
        """Tell how much of each clip's distance each statistic of each band makes.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float64
            Never negative; the sum of a row is the Mahalanobis distance. The columns are those of
            `ClipStatistics`, which names them.
        """
        check_is_fitted(self)
        return self._contributions(self._prepare(X, reset=False).rows)

    def _contributions(self, rows: np.ndarray) -> np.ndarray:
        if isinstance(self.backend_, Pipeline) and len(self.backend_) > 1:
            rows = self.backend_[:-1].transform(rows)
        return detector_of(self.backend_).contributions(rows)

    @available_if(_can_explain)
    def anomaly_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Tell where in time and frequency the anomaly is.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            Larger is more anomalous; the sum over a map is the clip's distance.
        """
        check_is_fitted(self)
        data = self._prepare(X, reset=False)
        shares = self._contributions(data.rows)
        return join_maps(self.statistics_.spread(list(data.spectrograms), shares, self.typical_))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
