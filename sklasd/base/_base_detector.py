"""What every detector does the same way: fit, calibrate, score, decide."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Collection
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklasd.base import _decision_methods
from sklasd.base._all_or_nothing import all_or_nothing
from sklasd.base._calibration import choose_folds, held_out_scores
from sklasd.base._clip_table import is_clip_table, read_fit_input, take_new_normal
from sklasd.base._conditions import Conditions
from sklasd.base._decision import Decision, decision_of
from sklasd.base._sections import check_section, learnt_sections, sections_of_column
from sklasd.base._training_clips import TrainingClips
from sklasd.utils._metadata import check_metadata


class BaseDetector(OutlierMixin, BaseEstimator):
    """Base of all detectors: a scorer, and the decision on its scores.

    A subclass is a scorer: it learns from `TrainingClips` (`_learn`) and scores clips
    (`_score_samples`). It may check its parameters against each other and against the clips
    (`_check_params`), and, where a closed form exists, compute what each training clip would score
    had it been left out (`_left_out_scores`). `learn` makes no more than a scorer of it, for use
    inside other detectors; `fit` adds the one decision: `decision_`, with threshold and p-values.
    It knows nothing of nets and windows: see `NetDetector`.
    """

    decision_: Decision | None  # None where `learn` has made a scorer
    # Parameters that scores depend on, but nothing that is learnt: a threshold holds for one value.
    _score_params: ClassVar[tuple[str, ...]] = ()
    _map_unit: ClassVar[str] = ""  # of `anomaly_map`, where there is one
    _takes_bytes: ClassVar[bool] = False  # images of 8 bits stay so until they are windows
    _gives_log_odds: ClassVar[bool] = False  # scores are log-odds of being normal
    _compares_conditions: ClassVar[bool] = True  # warn of clips of another level or length
    _is_unbounded: bool = True  # scores have no end, as a gamma distribution has none
    _learnt_sections: Collection[str] | None = None  # sections that have a score of their own

    _parameter_constraints: ClassVar[dict] = {
        "threshold": [StrOptions({"gamma", "quantile", "conformal", "mean_confidence"}), callable],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "calibration": [
            StrOptions({"auto"}),
            Interval(Integral, 2, None, closed="left"),
            HasMethods(["split", "get_n_splits"]),
            None,
        ],
    }

    # -- what a detector defines ---------------------------------------------------------------

    @abstractmethod
    def _learn(self, clips: TrainingClips) -> None:
        """Learn what normal sounds like; what is learnt goes into attributes."""

    @abstractmethod
    def _score_samples(
        self, data: Any, index: np.ndarray | None = None, section: np.ndarray | None = None
    ) -> np.ndarray:
        """Score prepared clips (n_clips,), all or those at some positions, with their sections."""

    def _prepare(self, X: Any, *, reset: bool) -> Any:
        """Check the input and compute for each clip what depends on no other.

        `reset` says that `fit` learns from it; else it must be alike. The result has a length, and
        an attribute `spectrograms` where silent clips and levels can be found by them.
        """
        return validate_data(self, X, reset=reset, dtype=np.float64)

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        """Refuse parameters that do not go together, or that the clips do not allow.

        `n_features` and `clips` are None while nothing has been read. Called for all clips and for
        the clips of each calibration fold, before any training.
        """

    def _auto_calibration(self, clips: TrainingClips) -> str:
        """Return how ``calibration="auto"`` leaves clips out: a key of `AUTO_CALIBRATION`."""
        return "few folds"

    def _left_out_scores(self, clips: TrainingClips) -> np.ndarray:
        """Score each recorded normal clip as if it had been left out, after `_learn`."""
        raise NotImplementedError(f"{type(self).__name__} has no closed form.")

    def _match_training_effort(self, share: float) -> None:
        """Get ready to learn from a share of the clips as thoroughly as from all of them."""
        n_epochs = self.get_params(deep=False).get("max_epochs")
        if n_epochs is not None:
            # As many steps: a net of fewer would find new clips stranger than it should.
            self.set_params(max_epochs=max(1, round(n_epochs / share)))

    # -- the contract ----------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        exposed: Any = None,
        section: Any = None,
        domain: Any = None,
        groups: Any = None,
        copy_of: Any = None,
    ) -> Self:
        """Learn what normal sounds like, and set the threshold.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames), list of (n_mels, n_frames), \
                or array of shape (n_clips, n_features)
            Spectrograms in dB, as from `LogMel`, or, for detectors on embeddings, one row per clip.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous. Anomalous clips are left out of training and threshold;
            None takes all for normal.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of other machines, which a detector may use as outliers. They never count as
            normal and never set the threshold.
        section : array-like of shape (n_clips,), default=None
            What classifiers tell apart; the calibration spreads sections evenly.
        domain : array-like of {"source", "target"}, shape (n_clips,), default=None
            Recording conditions, for detectors that treat them apart; spread evenly, too.
        groups : array-like of shape (n_clips,), default=None
            Recordings that belong together, such as those of a day: never split between training
            and calibration.
        copy_of : array-like of int, shape (n_clips,), default=None
            Positions of the originals of altered copies, such as `Augmented` makes; -1 for
            recordings. A copy is learnt from only where its original is, and sets no threshold.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            For bad parameters, labels, metadata or clips, before training starts. Whatever stops a
            fit, what an earlier one has learnt stays whole.
        FloatingPointError
            When a loss stops being finite.

        Warns
        -----
        UserWarning
            When clips without any sound are left out, when there are too few clips for the
            contamination that is asked for, or when the threshold's gamma fit fails.
        """
        with all_or_nothing(self):
            clips = self._gather(
                X, y, exposed=exposed, section=section, domain=domain, groups=groups,
                copy_of=copy_of,
            )  # fmt: skip
            folds = choose_folds(self, clips)
            clips = replace(clips, leaves_one_out=self.calibration is not None and not folds)
            for learnt in (clips, *(clips.take_normal(train) for train, _ in folds)):
                self._check_clips(learnt)
            unlearnt = copy.copy(self)
            self._learn(clips)
            if self.calibration is None:  # the papers' way: scores of what was learnt from
                index = clips.recorded_index
                scores = self._score_samples(clips.data, index, clips.take("section", index))
            elif folds:
                scores = held_out_scores(unlearnt, clips, folds)
            else:
                scores = self._left_out_scores(clips)
            self._set_decision(scores, clips, is_calibrated=self.calibration is not None)
        return self

    def learn(self, X: Any, y: Any = None, *, folds: Any = (), **metadata: Any) -> np.ndarray:
        """Learn to score, without a decision: for use inside other detectors.

        `score_samples` works afterwards; what needs a threshold does not, before `recalibrate`.

        Parameters
        ----------
        X : clips
            As in `fit`.
        y : array-like of shape (n_clips,), default=None
            As in `fit`.
        folds : list of (ndarray, ndarray), default=()
            Positions of normal clips, to train on and to score.
        **metadata
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_held_out_clips,), float64
            What the clips of all folds score, in the order of the clips, each by a scorer that was
            trained without its fold.
        """
        with all_or_nothing(self):
            clips = self._gather(X, y, **metadata)
            for learnt in (clips, *(clips.take_normal(train) for train, _ in folds)):
                self._check_clips(learnt)
            unlearnt = copy.copy(self)
            self._learn(clips)
            self.decision_ = None
            return held_out_scores(unlearnt, clips, folds) if folds else np.empty(0)

    def fit_predict(self, X: Any, y: Any = None, **metadata: Any) -> np.ndarray:
        """Fit, and decide on the same clips.

        Parameters
        ----------
        X : clips
            As in `fit`.
        y : array-like of shape (n_clips,), default=None
            As in `fit`.
        **metadata
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_clips,), int
            +1 normal, -1 anomalous.
        """
        self.fit(X, y, **metadata)
        section = metadata.get("section")
        if section is not None:  # clips that are not learnt from may be of other sections
            section = learnt_sections(section, self._learnt_sections)
        return self.predict(X, section=section)

    def score_samples(self, X: Any, *, section: Any = None) -> np.ndarray:
        """Score clips: minus the anomaly score.

        Parameters
        ----------
        X : clips
            As in `fit`.
        section : array-like of shape (n_clips,), default=None
            The clips' sections, for detectors that tell them apart; None for unknown ones.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Higher is more normal.

        Warns
        -----
        UserWarning
            When most of the clips are far louder, quieter, longer or shorter than those that were
            learnt from, or that the detector was recalibrated on.
        """
        data, section = self._ready_to_score(X, section)
        return self._score_samples(data, section=section)

    # Only what has a threshold can answer these: they ask `decision_`.
    decision_function = _decision_methods.decision_function
    predict = _decision_methods.predict
    decide = _decision_methods.decide
    p_values = _decision_methods.p_values

    def recalibrate(self, X: Any, y: Any = None, *, section: Any = None) -> Self:
        """Set the threshold anew, from given normal clips, without training.

        Parameters
        ----------
        X : clips
            Normal clips that were not trained on, for example of a new installation. Clips without
            any sound are left out, as in `fit`.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; the latter are left out.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        self : object
            The detector, with new `calibration_scores_` and a new `offset_`.
        """
        check_is_fitted(self)
        self.check_params()
        X, y, section = take_new_normal(X, y, section)
        data = self._prepare(X, reset=False)
        clips = TrainingClips.gather(data, y)
        index = clips.normal_index
        section = check_metadata("section", section, len(data))
        if section is not None:  # clips that are left out may be of any section
            section = check_section(section[index], len(index), self._learnt_sections)
        self._set_decision(self._score_samples(data, index, section), clips, is_calibrated=True)
        return self

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` does before it looks at any data.

        Parameters
        ----------
        n_features : int, default=None
            Number of mel bands, or features, of the clips; None if it is unknown.

        Raises
        ------
        ValueError
            For values that cannot be, or that do not go together.
        """
        self._validate_params()
        if self.threshold == "mean_confidence" and not self._gives_log_odds:
            raise ValueError(
                'Got threshold="mean_confidence", but the scores of '
                f"{type(self).__name__} are not log-odds, which it makes confidences of; pass "
                '"gamma", "quantile" or "conformal", or take a classifier such as '
                "OEMobileNetDetector."
            )
        self._check_params(n_features)

    @property
    def calibration_scores_(self) -> np.ndarray:
        """Scores of the normal clips that set the threshold, shape (n_calibration_clips,)."""
        return decision_of(self).calibration_scores

    @property
    def offset_(self) -> float:
        """Score below which a clip is called anomalous."""
        return decision_of(self).offset

    # -- how it is done --------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return "decision_" in vars(self)  # None of what `learn` has made a scorer

    def _gather(self, X: Any, y: Any, **metadata: Any) -> TrainingClips:
        """Check parameters and clips, and align what `fit` was given with them."""
        self.check_params()
        given = read_fit_input(X, y, **metadata)
        with given.naming_clips():
            data = self._prepare(given.X, reset=True)
        return TrainingClips.gather(data, given.y, **given.metadata)

    def _check_clips(self, clips: TrainingClips) -> None:
        """Refuse clips that cannot be learnt from, before any training."""
        self._check_params(clips.n_features, clips)

    def _ready_to_score(self, X: Any, section: Any) -> tuple[Any, np.ndarray | None]:
        """Check what is scored, and warn where most clips are unlike those of the threshold."""
        check_is_fitted(self)
        data = self._prepare(X, reset=False)
        if section is None and is_clip_table(X) and "section" in X:  # front ends are inside
            section = sections_of_column(X["section"].to_numpy(), self._learnt_sections)
        section = check_section(section, len(data), self._learnt_sections)
        if self.decision_ is not None:
            self.decision_.warn_of_conditions(data)
        return data, section

    def _score_param_values(self) -> dict[str, Any]:
        """Return what decides the scale of the scores, as an error tells it."""
        return {name: getattr(self, name) for name in self._score_params}

    def _set_decision(
        self, scores: np.ndarray, clips: TrainingClips, *, is_calibrated: bool
    ) -> None:
        """Make the decision of the scores of normal clips; what fails leaves the old one whole."""
        fits_gamma = self._is_unbounded or self.threshold != "gamma"
        self.decision_ = Decision.learn(
            scores,
            threshold=self.threshold if fits_gamma else "quantile",
            contamination=self.contamination,
            is_calibrated=is_calibrated,
            score_params=self._score_param_values(),
            conditions=Conditions.of_clips(clips) if self._compares_conditions else None,
        )
