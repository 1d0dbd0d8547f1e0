"""Several detectors on the same clips, and one score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklasd.base import BaseDetector, TrainingClips
from sklasd.base._calibration import calibration_folds
from sklasd.base._spectrogram_input import read_spectrograms
from sklasd.base._unwrap import detector_of, first_step, passes_through
from sklasd.fusion._front_ends import Features, Member, are_spectrograms, is_used, warning_once
from sklasd.fusion._maps import join_member_maps, usual_levels
from sklasd.fusion._member_params import MemberParams
from sklasd.fusion._members import (
    check_distances,
    check_member,
    check_names,
    common_sections,
    fit_member,
    matching_effort,
    measure_distances,
    normalise_weights,
)
from sklasd.fusion._rules import FUSIONS, UNWEIGHTED, HeldOut


class FusionDetector(MemberParams, BaseDetector):
    r"""Detect anomalies by several detectors on the same clips, fused to one score.

    Each member is fitted to all normal clips, and again without each fold's, to get out-of-fold
    scores. These bring the members' scores :math:`s_m`, or the distances :math:`d_m = -s_m`, to one
    scale before they are joined,

    ============  ==============================================================================
    fusion        the fused anomaly score, minus `score_samples`
    ============  ==============================================================================
    ``"log"``     :math:`\sum_m w_m (\log d_m - \mu_m) / \sigma_m`, with mean and deviation of the
                  out-of-fold :math:`\log d_m`; for distances, which are never negative
    ``"fisher"``  :math:`-\sum_m w_m \log p_m`, with the p-value among the out-of-fold scores
    ``"zscore"``  :math:`\sum_m w_m (d_m - \mu_m) / \sigma_m`
    ``"rank"``    :math:`\sum_m w_m \operatorname{rank}(d_m)`, from 0 to 1
    ``"max"``     the greatest standardised :math:`d_m`: an anomaly where any member finds one
    ``"min"``     the least one: an anomaly where all members do
    ============  ==============================================================================

    Parameters
    ----------
    estimators : list of (str, estimator)
        The members by name: detectors, pipelines that end in one, or any estimators with `fit` and
        `score_samples`. "drop" leaves a member out.
    fusion : {"log", "fisher", "zscore", "rank", "max", "min"}, default="log"
        How the scores become one.
    weights : array-like of shape (n_estimators,), default=None
        The weights :math:`w_m`; only their ratios matter, None means equal ones. Not for "max" and
        "min".
    cv : {"auto"}, int or splitter, default="auto"
        Folds of the normal clips for the members' out-of-fold scores. "auto" makes as many as the
        calibration of the slowest member. A splitter gets the normal clips alone.
    n_jobs : int, default=None
        Number of members fitted in parallel; None means 1, -1 all cores.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``. A callable computes it from the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are computed. "auto" fuses the out-of-fold scores of `cv`, at no
        further cost. An int is the number of folds, each scored by a fusion fitted to the others,
        with its own `cv`; a scikit-learn splitter makes its own. None uses the training clips' own
        scores.

    Attributes
    ----------
    estimators_ : list of estimator
        The fitted members, without those dropped, and without front ends that learn nothing. They
        score and map, but have no thresholds.
    named_estimators_ : Bunch
        The same by name.
    member_distances_ : ndarray of shape (n_out_of_fold_clips, n_members)
        Out-of-fold distances of the members.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.

    See Also
    --------
    StatisticsDetector : A member that trains in milliseconds.

    Notes
    -----
    "log" standardises, as a plain sum of log distances gives most weight to the member whose
    distances scatter most: a member of random numbers beside three good ones cost 0.075 of AUC in
    a plain sum, and 0.002 here (24 synthetic machines, ``python benchmarks/bench_fusion.py``).

    "fisher" uses empirical p-values. For the greatest tenth of the scores and beyond, where these
    would all be alike, it uses an exponential distribution with the same mean excess.

    Ranks have an upper bound, unlike a gamma distribution: for "rank" the threshold "gamma" means
    "quantile". [2]_ fuses back ends by "min" under domain shift; a single bad member spoils it.

    Members that tell sections apart get `section`, in `fit` and in scoring. Front ends that learn
    nothing from clips, such as `LogMel` and `PANNsEmbedding`, run once for all members that share
    them, and for all folds. A search changes members by name,
    ``{"fusiondetector__quantiles": ["drop", StatisticsDetector()]}``, or their parameters,
    ``{"fusiondetector__quantiles__statistics": [...]}``.

    References
    ----------
    .. [1] R. A. Fisher, "Statistical methods for research workers", 1932.
    .. [2] J. Zhou, M. Wang, "Scoring backends matter more than pooling: a systematic study of
       training-free anomalous sound detection under domain shift", arXiv:2606.19269, 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import FusionDetector, KNNDetector, MahalanobisDetector
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> fusion = FusionDetector([("near", KNNDetector()), ("distance", MahalanobisDetector())])
    >>> fusion.fit(X).predict(X[:1] + 9)
    array([-1])
    >>> fusion.score_table(X[:1] + 9).columns[:3].tolist()
    ['near', 'distance', 'fusion_log']
    """

    _score_params = ("fusion", "weights")
    _map_unit = "times the usual"
    _takes_bytes = True  # for members that do; others make numbers of them
    _parameter_constraints: ClassVar[dict] = {
        **BaseDetector._parameter_constraints,
        "estimators": [list],
        "fusion": [StrOptions(set(FUSIONS))],
        "weights": ["array-like", None],
        "cv": [
            StrOptions({"auto"}),
            Interval(Integral, 2, None, closed="left"),
            HasMethods(["split", "get_n_splits"]),
        ],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimators: Sequence[tuple[str, Any]],
        *,
        fusion: str = "log",
        weights: Any = None,
        cv: Any = "auto",
        n_jobs: int | None = None,
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
    ) -> None:
        self.estimators = estimators
        self.fusion = fusion
        self.weights = weights
        self.cv = cv
        self.n_jobs = n_jobs
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration

    def members(self) -> list[Member]:
        """Return the members with their front ends: the fitted ones, or those for the next fit."""
        if "_fitted_members" in vars(self):
            return self._fitted_members
        return [Member.split(name, each) for name, each in self.estimators if is_used(each)]

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        if clips is not None:  # the members check them
            return
        check_names(self.estimators)
        self._validate_names([name for name, _ in self.estimators])
        for name, each in self.estimators:
            if not is_used(each):
                continue
            check_member(name, each, n_features)
            if self.fusion == "log" and isinstance(detector_of(each), FusionDetector):
                raise ValueError(
                    f"Got fusion='log', but the member {name!r} is a fusion, whose scores are not "
                    'distances. Pass fusion="zscore" or "fisher", or all members in one fusion.'
                )
        self._member_weights()
        self._is_unbounded = self.fusion != "rank"  # also where it was changed after a fit

    def _member_weights(self) -> np.ndarray:
        """Return the weights of the members that are not dropped, which sum to 1."""
        used = np.array([is_used(each) for _, each in self.estimators])
        used = vars(self).get("_used", used)
        return normalise_weights(self.weights, used, self.fusion)

    def _prepare(self, X: Any, *, reset: bool) -> Features:
        if isinstance(X, Features):  # made by the fusion that this one is a member of
            self._check_input(X.X, reset=reset)
            return X
        X = self._check_input(X, reset=reset)
        with warning_once():
            features = Features.make(X, self.members())
            for member, scorer in self._with_scorers(unfitted=reset):
                if isinstance(scorer, FusionDetector):  # its front ends get clips here only
                    own = features.by_member[member.name]
                    features.by_member[member.name] = scorer._prepare(own, reset=reset)
        return features

    def _check_input(self, X: Any, *, reset: bool) -> Any:
        """Check spectrograms and rows; clips are checked by the front ends."""
        if are_spectrograms(X):
            return read_spectrograms(self, X, reset=reset).unstack()
        tags = self.__sklearn_tags__().input_tags
        return super()._prepare(X, reset=reset) if tags.two_d_array and not tags.string else X

    def _with_scorers(self, *, unfitted: bool = False) -> list[tuple[Member, Any]]:
        """Return the members with their fitted scorers, or with unfitted clones."""
        members = self.members()
        scorers = [clone(m.rest) for m in members] if unfitted else self.estimators_
        return list(zip(members, scorers, strict=True))

    def _check_clips(self, clips: TrainingClips) -> None:
        """Do nothing: the members check the clips."""

    def _match_training_effort(self, share: float) -> None:
        self.estimators = [(name, matching_effort(each, share)) for name, each in self.estimators]

    def _learn(self, clips: TrainingClips) -> None:
        self._used = np.array([is_used(each) for _, each in self.estimators])
        front_ends = clips.data.front_ends
        members = [m._replace(front_end=front_ends[m.name]) for m in self.members()]
        self._fitted_members = members
        folds = calibration_folds(self.cv, clips, is_quick=self._are_members_quick(clips))
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_member)(member, clips, folds) for member in members
        )
        self.estimators_, columns = map(list, zip(*fitted, strict=True))
        held_out = np.sort(np.concatenate([test for _, test in folds]))
        for member, distances in zip(members, columns, strict=True):
            check_distances(member.name, distances, held_out)
        names = [member.name for member in members]
        self.named_estimators_ = Bunch(**dict(zip(names, self.estimators_, strict=True)))
        self.member_distances_ = np.column_stack(columns)
        self._check_are_distances()
        self._learnt_sections = common_sections(self.estimators_)
        if clips.taken_from is None:  # folds score, but draw no maps
            self._map_scales = usual_levels(self.mapping(), clips)

    def _are_members_quick(self, clips: TrainingClips) -> bool:
        ends = [detector_of(member.rest) for member in self.members()]
        return all(
            isinstance(end, BaseDetector)
            and not isinstance(end, FusionDetector)  # it holds clips out by itself as well
            and end._auto_calibration(clips) != "few folds"
            for end in ends
        )

    def _check_are_distances(self) -> None:
        for name, distances in zip(self.named_estimators_, self.member_distances_.T, strict=True):
            if self.fusion == "log" and not (distances > 0).all():
                raise ValueError(
                    f"Got fusion='log', but minus the scores of the member {name!r} are not "
                    f'distances: {distances.min():.4g} is among them. Pass fusion="zscore" or '
                    '"fisher".'
                )

    def _auto_calibration(self, clips: TrainingClips) -> str:
        return "closed form"  # the members' out-of-fold scores are there already

    def _left_out_scores(self, clips: TrainingClips) -> np.ndarray:
        # Each clip against the others: its own distances among them would make it look usual.
        distances, weights = self.member_distances_, self._member_weights()
        fuse = FUSIONS[self.fusion]
        return -np.concatenate(
            [
                fuse(distances[[i]], HeldOut(np.delete(distances, i, axis=0), weights))
                for i in range(len(distances))
            ]
        )

    def _score_param_values(self) -> dict[str, Any]:
        values = super()._score_param_values()  # only the ratios of weights matter
        return values | {"weights": self._member_weights().tolist()}

    def _distances(
        self, data: Features, index: np.ndarray | None = None, section: np.ndarray | None = None
    ) -> np.ndarray:
        """Return minus the members' scores, (n_clips, n_members)."""
        return np.column_stack(
            [
                measure_distances(scorer, data.take(member.name, index), section)
                for member, scorer in self._with_scorers()
            ]
        )

    def _fuse(self, distances: np.ndarray, fusion: str | None = None) -> np.ndarray:
        held_out = HeldOut(self.member_distances_, self._member_weights())
        fused = FUSIONS[fusion or self.fusion](distances, held_out)
        fused[np.isnan(distances).any(axis=1)] = np.nan  # ranks would turn NaN into a number
        return fused

    def _score_samples(
        self, data: Features, index: np.ndarray | None = None, section: np.ndarray | None = None
    ) -> np.ndarray:
        self._validate_params()  # set_params may have come after fit
        self._check_are_distances()
        return -self._fuse(self._distances(data, index, section))

    def score_table(self, X: Any, *, section: Any = None) -> pd.DataFrame:
        """Score clips by every member and every fusion at once.

        Parameters
        ----------
        X : clips
            As in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        DataFrame of shape (n_clips, n_members + n_fusions), float64
            The members' scores by their names, then "fusion_log" and so on, equal to
            `score_samples` with these parameters: higher is more normal. "fusion_log" needs members
            whose scores are distances.

        Warns
        -----
        UserWarning
            As `score_samples` does.
        """
        data, section = self._ready_to_score(X, section)
        distances = self._distances(data, section=section)
        table = dict(zip(self.named_estimators_, -distances.T, strict=True))
        for fusion in FUSIONS:
            if self.weights is not None and fusion in UNWEIGHTED:
                continue
            if fusion != "log" or (self.member_distances_ > 0).all():
                table[f"fusion_{fusion}"] = -self._fuse(distances, fusion)
        return pd.DataFrame(table)

    def mapping(self) -> Iterator[tuple[Member, Any, float]]:
        """Iterate over the members that have maps: the member, its fitted scorer, its weight."""
        weights = self._member_weights()
        for (member, scorer), weight in zip(self._with_scorers(), weights, strict=True):
            if hasattr(detector_of(scorer), "anomaly_map"):
                yield member, scorer, weight

    @available_if(
        lambda self: any(hasattr(detector_of(e), "anomaly_map") for _, e in self.estimators)
    )
    def anomaly_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Map where in time and frequency the anomaly is, by the members with maps.

        Parameters
        ----------
        X : clips
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            Weighted mean of the members' maps, each in multiples of its mean over normal clips:
            1 is usual, larger is more anomalous.

        Raises
        ------
        ValueError
            If the front ends of members differ in bands or frames.
        """
        check_is_fitted(self)
        return join_member_maps(self.mapping(), self._prepare(X, reset=False), self._map_scales)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        heads = [first_step(each) for _, each in self.estimators]
        # "drop" and "passthrough" do not say what input they take.
        kinds = [h.__sklearn_tags__().input_tags for h in heads if not passes_through(h)]
        tags.input_tags.two_d_array = all(kind.two_d_array for kind in kinds)
        tags.input_tags.three_d_array = all(kind.three_d_array for kind in kinds)
        tags.input_tags.string = any(kind.string for kind in kinds)
        return tags
