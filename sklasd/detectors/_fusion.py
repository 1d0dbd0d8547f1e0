"""Several detectors on the same clips, and one score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.validation import check_is_fitted

from sklasd.base import BaseDetector, TrainingClips
from sklasd.base._backend import ask, first_step, last_step, passes_through
from sklasd.base._calibration import Fold, calibration_folds
from sklasd.base._members import (
    Features,
    MapShapeError,
    Member,
    are_spectrograms,
    check_member,
    is_used,
    learning_less,
    mean_map,
    warning_once,
)
from sklasd.base._out_of_fold import check_distances, distances_of, fit_member
from sklasd.fusion._rules import FUSIONS, UNWEIGHTED, HeldOut
from sklasd.scores import TINY
from sklasd.training._windows import Spectrograms

_MAPPED = 20  # training clips that the usual value of a map is taken from


class FusionDetector(_BaseComposition, BaseDetector):
    r"""Detect anomalies by several detectors on the same clips, fused to one score.

    Each member is fitted to all normal clips, and once more to each fold's, so that there are
    scores of clips that it has not seen: by these the members' scores :math:`s_m`, or the distances
    :math:`d_m = -s_m`, are brought to one scale before they are joined,

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
        The members by name: detectors, or pipelines that end in one, or anything with `fit` and
        `score_samples`. "drop" leaves a member out.
    fusion : {"log", "fisher", "zscore", "rank", "max", "min"}, default="log"
        How the scores become one.
    weights : array-like of shape (n_estimators,), default=None
        :math:`w_m`, of which only the ratios matter; None is the same for all. Not for "max" and
        "min".
    cv : {"auto"}, int or splitter, default="auto"
        Folds of the normal clips for the members' out-of-fold scores. "auto" deals as many as the
        members' own calibration would: those of nets, if one of them is slow. A splitter gets the
        normal clips alone.
    n_jobs : int, default=None
        Members that are fitted at once; None is 1, -1 all cores.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: by a gamma fit to the anomaly scores, by
        their empirical quantile, by the rank below which ``p_values(X) <= contamination``, or by a
        function of the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips that is to lie beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are made. "auto" fuses the out-of-fold scores of `cv`, which costs
        nothing more. An int is the number of folds, each scored by a fusion that was learnt from
        the others, `cv` and all; a scikit-learn splitter deals them. None takes the training clips'
        own scores.

    Attributes
    ----------
    estimators_ : list of estimator
        The fitted members, without those dropped. Front ends that learn nothing are set apart.
    named_estimators_ : Bunch
        The same by name. They are there to score and to map: their own thresholds are not set for
        decisions.
    member_distances_ : ndarray of shape (n_out_of_fold_clips, n_members)
        What the members say of normal clips that they were not fitted to.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        What normal clips score that were not learnt from.
    offset_ : float
        Score below which a clip is called anomalous.

    See Also
    --------
    StatisticsDetector : A member that is trained in milliseconds.

    Notes
    -----
    A plain sum of log distances gives most weight to the member whose distances scatter most: a
    chance member of four random numbers beside three good ones cost 0.075 of AUC that way, and
    0.002 when the logarithms were standardised (24 synthetic machines,
    ``python benchmarks/bench_fusion.py``). So "log" standardises, too.

    The p-values of "fisher" are the empirical ones but for the greatest tenth of the out-of-fold
    scores and what lies beyond, where an exponential law of the same mean excess takes their place:
    empirically they would be the same for any anomaly.

    Ranks are bounded, which a gamma distribution is not: with "rank" the threshold "gamma" means
    "quantile".

    "min" is what [2]_ fuses back ends by under domain shift; a single member that is no better than
    chance makes it so, too.

    For the threshold each out-of-fold score is fused by what the other clips say.

    Members that tell sections apart are told of `section`, in `fit` and in scoring.

    Front ends that learn nothing of clips, such as `LogMel` and `PANNsEmbedding`, are computed once
    for all members that share them, and for all folds. Members take part in a search by name:
    ``{"fusiondetector__quantiles": ["drop", StatisticsDetector()]}``, or by a parameter of theirs:
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

    # -- members as parameters: what scikit-learn's VotingClassifier offers -----------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, with those of the members by their names.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the members and their parameters, too.

        Returns
        -------
        dict
            By name, such as ``quantiles__statistics``.
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members by their names, or parameters of members.

        Parameters
        ----------
        **params
            ``quantiles="drop"``, or ``quantiles__statistics="shape"``.

        Returns
        -------
        self : FusionDetector
            The same detector.
        """
        return self._set_params("estimators", **params)

    def _members(self) -> list[Member]:
        """Return the members that were fitted, or that are going to be."""
        if "_fitted" in vars(self):
            return self._fitted
        return [Member.split(name, each) for name, each in self.estimators if is_used(each)]

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        if clips is not None:
            return
        self._check_names()
        for name, each in self.estimators:
            if not is_used(each):
                continue
            check_member(name, each, n_features)
            if self.fusion == "log" and isinstance(last_step(each), FusionDetector):
                raise ValueError(
                    f"Got fusion='log', but the member {name!r} is a fusion, whose scores are no "
                    'distances. Pass fusion="zscore" or "fisher", or the members of both in one.'
                )
        self._member_weights()

    def _check_names(self) -> None:
        if not self.estimators or not all(
            isinstance(pair, tuple) and len(pair) == 2 for pair in self.estimators
        ):
            raise ValueError(
                f"Got estimators={self.estimators!r}; pass a list of (name, estimator)."
            )
        self._validate_names([name for name, _ in self.estimators])
        taken = [name for name, _ in self.estimators if name.startswith("fusion_")]
        if taken:
            raise ValueError(
                f"Got the member {taken[0]!r}; `score_table` has such columns already."
            )
        if not any(is_used(each) for _, each in self.estimators):
            raise ValueError('Got "drop" for all members; keep at least one.')

    def _member_weights(self) -> np.ndarray:
        """Return the weights of the members that are used, or were when fitted; they sum to 1."""
        used = np.array([is_used(each) for _, each in self.estimators])
        used = vars(self).get("_used", used)
        if self.weights is None:
            return np.full(used.sum(), 1 / used.sum())
        weights = np.asarray(self.weights, dtype=float)
        if self.fusion in UNWEIGHTED:
            raise ValueError(
                f"Got weights with fusion={self.fusion!r}, which takes one member's score; pass "
                "weights=None, or another fusion."
            )
        if weights.shape != used.shape or not (weights >= 0).all() or not weights[used].sum() > 0:
            raise ValueError(
                f"Got weights={self.weights!r} for {len(used)} members; pass one number for each, "
                "none of them negative, and not all 0."
            )
        return weights[used] / weights[used].sum()

    # -- learning --------------------------------------------------------------------------------

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        if isinstance(X, Features):  # made by the fusion that this one is a member of
            self._check_X(X.given, reset=reset)
            return X
        if are_spectrograms(X):
            return self._check_spectrograms(X, reset=reset)
        tags = self.__sklearn_tags__().input_tags
        if tags.two_d_array and not tags.string:  # rows; else clips, which front ends check
            return super()._check_X(X, reset=reset)
        return X

    def _prepare(self, data: Any) -> Features:
        if isinstance(data, Features):
            return data
        with warning_once():
            return self._make_features(data)

    def _make_features(self, data: Any) -> Features:
        X = data.unstack() if isinstance(data, Spectrograms) else data
        members = self._members()
        features = Features.make(X, members)
        is_fitted = "estimators_" in vars(self)
        ends = self.estimators_ if is_fitted else [clone(member.rest) for member in members]
        for member, end in zip(members, ends, strict=True):
            if isinstance(end, FusionDetector):  # whose front ends are passed here, and only here
                of_member = end._check_X(features.made[member.name], reset=not is_fitted)
                features.made[member.name] = end._prepare(of_member)
        return features

    def _heard(self, data: Features) -> Spectrograms | None:
        return data.heard

    def _check_clips(self, clips: TrainingClips) -> None:
        """Leave the check of the clips to the members."""

    def _learn_less(self, share: float) -> None:
        """Have each member learn as thoroughly from a share of the clips."""
        self.estimators = [(name, learning_less(each, share)) for name, each in self.estimators]

    def _learn(self, clips: TrainingClips) -> None:
        self._used = np.array([is_used(each) for _, each in self.estimators])
        front_ends = clips.data.front_ends
        members = self._fitted = [m._replace(front_end=front_ends[m.name]) for m in self._members()]
        folds = calibration_folds(self.cv, clips, is_quick=self._is_quick())
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_member)(member, clips, folds) for member in members
        )
        self.estimators_, columns = map(list, zip(*fitted, strict=True))
        held_out = np.sort(np.concatenate([test for _, test in folds]))
        for member, distances in zip(members, columns, strict=True):
            check_distances(member.name, distances, held_out)
        self.named_estimators_ = Bunch(
            **{m.name: e for m, e in zip(members, self.estimators_, strict=True)}
        )
        self.member_distances_ = np.column_stack(columns)
        self._check_fusion()
        self._learn_map_scales(clips)

    def _is_quick(self) -> bool:
        ends = [last_step(member.rest) for member in self._members()]
        return all(
            isinstance(end, BaseDetector)
            and not isinstance(end, FusionDetector)  # which holds out by itself, too
            and end._is_quick()
            for end in ends
        )

    def _check_fusion(self) -> None:
        for name, distances in zip(self.named_estimators_, self.member_distances_.T, strict=True):
            if self.fusion == "log" and not (distances > 0).all():
                raise ValueError(
                    f"Got fusion='log', but minus the scores of the member {name!r} are no "
                    f'distances: {distances.min():.4g} is among them. Pass fusion="zscore" or '
                    '"fisher".'
                )

    def _forget(self) -> None:
        super()._forget()
        for name in ("_fitted", "_used"):
            self.__dict__.pop(name, None)

    def _folds(self, clips: TrainingClips) -> list[Fold]:
        return [] if self.calibration == "auto" else super()._folds(clips)

    def _leave_one_out(self, clips: TrainingClips) -> np.ndarray:
        # Each clip against the others: among its own kind it would look less strange than a new one
        distances, weights = self.member_distances_, self._member_weights()
        fuse = FUSIONS[self.fusion]
        return -np.concatenate(
            [
                fuse(distances[[i]], HeldOut(np.delete(distances, i, axis=0), weights))
                for i in range(len(distances))
            ]
        )

    def _threshold(self) -> Any:
        # A gamma distribution knows no end, and ranks end at 1: its quantile may lie beyond.
        bounded = self.fusion == "rank" and self.threshold == "gamma"
        return "quantile" if bounded else self.threshold

    # -- scoring ---------------------------------------------------------------------------------

    def _distances(self, data: Features, section: Any = None, clips: Any = None) -> np.ndarray:
        """Return minus the members' scores, (n_clips, n_members)."""
        pairs = zip(self._members(), self.estimators_, strict=True)
        return np.column_stack(
            [distances_of(each, data.take(member.name, clips), section) for member, each in pairs]
        )

    def _fuse(self, distances: np.ndarray, fusion: str | None = None) -> np.ndarray:
        known = HeldOut(self.member_distances_, self._member_weights())
        fused = FUSIONS[fusion or self.fusion](distances, known)
        fused[np.isnan(distances).any(axis=1)] = np.nan  # ranks would make a number of it
        return fused

    def _score_samples(self, data: Features, clips: Any = None) -> np.ndarray:
        return self._score_known(data, None, clips)

    def _score_known(self, data: Features, section: Any, clips: Any = None) -> np.ndarray:
        self._validate_params()  # set_params may have come after fit
        self._check_fusion()
        return -self._fuse(self._distances(data, section, clips))

    def _are_unknown(self, section: np.ndarray) -> np.ndarray:
        ends = [last_step(each) for each in self.estimators_]
        of_members = [end._are_unknown(section) for end in ends if isinstance(end, BaseDetector)]
        return np.logical_or.reduce([super()._are_unknown(section), *of_members])

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
            The members' own scores by their names, then "fusion_log" and so on, equal to
            `score_samples` under these parameters (without "fusion_log" where a member's score is
            no distance): higher is more normal.

        Warns
        -----
        UserWarning
            As `score_samples` does.
        """
        check_is_fitted(self)
        data = self._prepare(self._check_X(X, reset=False))
        section = self._check_section(section, len(data))
        self._compare_conditions(data)
        distances = self._distances(data, section)
        table = dict(zip(self.named_estimators_, -distances.T, strict=True))
        for fusion in FUSIONS:
            if self.weights is not None and fusion in UNWEIGHTED:
                continue
            if fusion != "log" or (self.member_distances_ > 0).all():
                table[f"fusion_{fusion}"] = -self._fuse(distances, fusion)
        return pd.DataFrame(table)

    # -- where -----------------------------------------------------------------------------------

    def _mapping(self) -> Iterator[tuple[Member, Any, float]]:
        """Iterate over the members that tell where: the member, fitted, and its weight."""
        weights = self._member_weights()
        for member, each, weight in zip(self._members(), self.estimators_, weights, strict=True):
            if hasattr(last_step(each), "anomaly_map"):
                yield member, each, weight

    def _learn_map_scales(self, clips: TrainingClips) -> None:
        """Learn the mean of each map over normal clips: what is usual."""
        some = clips.recorded_index[:_MAPPED]
        self._map_scales = {}
        for member, each, _ in self._mapping():
            try:
                maps = ask(each, "anomaly_map", clips.data.take(member.name, some))
            except MapShapeError:  # of a fusion within: it can score, and says so when it is asked
                continue
            self._map_scales[member.name] = max(np.mean([m.mean() for m in maps]), TINY)

    @available_if(
        lambda self: any(hasattr(last_step(e), "anomaly_map") for _, e in self.estimators)
    )
    def anomaly_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Tell where in time and frequency the anomaly is, by the members that can.

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
            Where the front ends of members differ in bands or frames.
        """
        check_is_fitted(self)
        data = self._prepare(self._check_X(X, reset=False))
        maps, weights = [], []
        for member, each, weight in self._mapping():
            own = ask(each, "anomaly_map", data.take(member.name))
            maps.append([m / self._map_scales[member.name] for m in own])
            weights.append(weight)
        return mean_map(maps, weights)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        heads = [first_step(each) for _, each in self.estimators]
        # Neither "drop" nor what passes all through says what it takes.
        kinds = [h.__sklearn_tags__().input_tags for h in heads if not passes_through(h)]
        tags.input_tags.two_d_array = all(kind.two_d_array for kind in kinds)
        tags.input_tags.three_d_array = all(kind.three_d_array for kind in kinds)
        tags.input_tags.string = any(kind.string for kind in kinds)
        return tags
