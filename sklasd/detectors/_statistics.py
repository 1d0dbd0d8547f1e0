"""Detection by statistics of each band over time, in seconds and without a net."""

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
    """Statistics of clips, a row for each, and the spectrograms that they come from."""

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
    """Return whether the back end knows what each statistic contributes."""
    backend = detector._backend()
    between = backend[:-1].named_steps.values() if isinstance(backend, Pipeline) else ()
    # A step such as PCA mixes the statistics: then no share belongs to one of them.
    keeps = all(isinstance(step, OneToOneFeatureMixin) for step in between)
    return keeps and hasattr(detector_of(backend), "contributions")


class StatisticsDetector(BaseDetector):
    r"""Detect anomalies by statistics of each band over time, and a back end that compares them.

    A clip becomes one row of numbers (`ClipStatistics`). By default these are standardised, and the
    score is minus their Mahalanobis distance to the normal clips, with a covariance shrunk by
    Ledoit and Wolf's rule. There is no net: `fit` learns 60 clips in less than a second, and leaves
    each of them out in turn to set the threshold.

    Parameters
    ----------
    statistics : str, sequence of str or ClipStatistics, default="quantiles"
        The statistics that describe a clip, by their names in `ClipStatistics`.
    backend : estimator, default=None
        Scores rows of statistics: an estimator with `fit` and `score_samples` (higher is more
        normal), or a pipeline that ends in one. None means ``make_pipeline(StandardScaler(),
        MahalanobisDetector(covariance="shrunk", per_domain=False))``.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``. A callable computes it from the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are computed. "auto" leaves out each of up to 100 clips in turn,
        splits up to 200 into 20 folds and up to 1,000, or clips with `groups`, into five, and holds
        out a quarter of more; slow back ends get fewer folds, as nets do. An int is the number of
        folds; a scikit-learn splitter makes its own. None uses the training clips' own scores.

    Attributes
    ----------
    statistics_ : ClipStatistics
        The statistics that describe a clip.
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
    sklasd.FusionDetector : Fuses several of these, with different statistics, to one detector.
    sklasd.features.ClipStatistics : The statistics.

    Notes
    -----
    The map shows what each statistic contributes to the distance: `ClipStatistics.spread` lays each
    of `MahalanobisDetector.contributions` over the frames that it comes from. These are never
    negative and add up to the distance, and so does the map.

    `section` and `groups` only guide the split into folds, exposed clips are left out, and `domain`
    goes to a back end that takes it.

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
        # Not per domain: ten target clips, as in DCASE, are too few for hundreds of statistics.
        distance = MahalanobisDetector(covariance="shrunk", per_domain=False)
        return make_pipeline(StandardScaler(), distance)

    def _auto_calibration(self, clips: TrainingClips) -> str:
        # Detectors of sklasd say how long they take; others may take as long as a net.
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
        if reset:  # scoring uses those of the fit: a changed parameter applies to the next one
            self.statistics_ = self._unfitted_statistics().fit(list(spectrograms))
        return _ClipRows(self.statistics_.transform(list(spectrograms)), spectrograms)

    def _learn(self, clips: TrainingClips) -> None:
        index = clips.normal_index
        rows = clips.data.rows[index]
        domain = None if clips.domain is None else clips.domain[index]
        self.backend_ = fit_as_scorer(clone(self._backend()), rows, domain=domain)
        self.typical_ = np.median(rows, axis=0)  # the map shows departures from it

    def _score_samples(
        self, data: _ClipRows, index: np.ndarray | None = None, section: Any = None
    ) -> np.ndarray:
        # A clip scores the same in a batch of any size, to the last bit.
        return score_rows(self.backend_, data.rows if index is None else data.rows[index])

    @available_if(_can_explain)
    def contributions(self, X: Any) -> np.ndarray:
        """Compute the share of each statistic of each band in the clip's distance.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float64
            Never negative; the sum of a row is the Mahalanobis distance. `ClipStatistics` names the
            columns.
        """
        check_is_fitted(self)
        return self._contributions(self._prepare(X, reset=False).rows)

    def _contributions(self, rows: np.ndarray) -> np.ndarray:
        # The steps before the end keep each statistic in its column: see `_can_explain`.
        if isinstance(self.backend_, Pipeline) and len(self.backend_) > 1:
            rows = self.backend_[:-1].transform(rows)
        return detector_of(self.backend_).contributions(rows)

    @available_if(_can_explain)
    def anomaly_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Map where in time and frequency the anomaly is.

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
