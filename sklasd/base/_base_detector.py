"""What every detector does the same way: fit, calibrate, score, decide."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklasd.base._calibration import calibration_folds, p_values
from sklasd.base._conditions import Conditions
from sklasd.base._threshold import fit_offset
from sklasd.base._training_clips import TrainingClips
from sklasd.utils._check_spectrograms import are_bytes, check_spectrograms
from sklasd.utils._metadata import check_metadata
from sklasd.utils._seeds import draw_seed

if TYPE_CHECKING:
    from sklasd.training._windows import Spectrograms


class BaseDetector(OutlierMixin, BaseEstimator):
    """Base of all detectors: the decision.

    A subclass learns from `TrainingClips` (`_learn`) and scores clips (`_score_samples`); it may
    check its parameters against each other and against the clips (`_check_params`), and, where a
    closed form exists, tell what each training clip would score had it been left out
    (`_leave_one_out`). Everything about labels, held-out clips, thresholds, p-values and decisions
    is here. It knows no net and no window: those are in `NetDetector`.
    """

    # Parameters that scores depend on, but nothing that is learnt: an offset holds for their values
    # alone.
    _score_params: ClassVar[tuple[str, ...]] = ()
    _map_unit: ClassVar[str] = ""  # of `anomaly_map`, where there is one
    _takes_bytes: ClassVar[bool] = False  # images of 8 bits stay so until they are windows
    _gives_log_odds: ClassVar[bool] = False  # scores are log-odds of being normal

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
    def _score_samples(self, data: Any, clips: Any = None) -> np.ndarray:
        """Score checked clips (n_clips,), all of them or those at some positions."""

    def _score_known(self, data: Any, section: Any, clips: Any = None) -> np.ndarray:
        """Score checked clips of known sections (n_clips,), which matter to classifiers only."""
        return self._score_samples(data, clips)

    def _are_unknown(self, section: np.ndarray) -> np.ndarray:
        """Tell which sections cannot be scored by, as fit knew none of them, bool (n_clips,)."""
        return np.zeros(len(section), dtype=bool)

    def _refuse_unknown(self, section: np.ndarray) -> None:
        """Refuse sections (n_clips,) that fit did not know, where it was told of some."""

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        """Refuse parameters that do not go together, or that the clips do not allow.

        Parameters
        ----------
        n_features : int, default=None
            Mel bands, or features of an embedding; None while nothing has been read.
        clips : TrainingClips, default=None
            What is trained on; None while nothing has been read. It is asked of all clips and of
            the clips of each calibration fold, before any training.
        """

    def _learn_less(self, share: float) -> None:
        """Get ready to learn from a share of the clips as thoroughly as from all of them."""

    def _is_quick(self) -> bool:
        """Tell whether it learns in milliseconds, so that many folds cost little."""
        return False

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        """Check the input: embeddings here, float64 (n_clips, n_features)."""
        return validate_data(self, X, reset=reset, dtype=np.float64)

    def _prepare(self, data: Any) -> Any:
        """Compute of each clip what depends on no other, once for learning and calibration."""
        return data

    def _see_clips(self, clips: TrainingClips) -> None:
        """Take note of what folds need to know of all clips, or refuse some for their length."""

    def _heard(self, data: Any) -> Spectrograms | None:
        """Return the spectrograms behind prepared data, by which clips are compared; or None."""
        return data if hasattr(data, "levels") and not data.are_rows else None

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
            Of altered copies, such as `Augmented` makes, the position of their original; -1 for
            recordings. A copy is learnt from only where its original is, and sets no threshold.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            For bad parameters, labels, metadata or clips, before training starts.
        FloatingPointError
            When a loss stops being finite.

        Warns
        -----
        UserWarning
            When clips without any sound are left out, when there are too few clips for the
            contamination that is asked for, or when the threshold's gamma fit fails.
        """
        self.check_params()
        self._forget()
        data = self._prepare(self._check_X(X, reset=True))
        clips = TrainingClips.gather(
            data,
            y,
            exposed=exposed,
            section=section,
            domain=domain,
            groups=groups,
            copy_of=copy_of,
        )
        self._see_clips(clips)
        folds = self._folds(clips)
        for learnt in (clips, *(clips.take_normal(train) for train, _ in folds)):
            self._check_clips(learnt)
        unfitted = copy.copy(self)
        self._learn(clips)
        scores = self._calibrate(unfitted, clips, folds)
        self._set_offset(scores, is_calibrated=self.calibration is not None)
        self._note_conditions(clips)
        return self

    def fit_predict(self, X: Any, y: Any = None, **metadata: Any) -> np.ndarray:
        """Fit, and decide on the same clips.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames), list of (n_mels, n_frames), \
                or array of shape (n_clips, n_features)
            Clips, as in `fit`.
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
        # Clips that are not learnt from may be of sections of their own.
        return self.predict(X, section=None if section is None else self._only_known(section))

    def score_samples(self, X: Any, *, section: Any = None) -> np.ndarray:
        """Score clips: minus the anomaly score.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames), list of (n_mels, n_frames), \
                or array of shape (n_clips, n_features)
            Clips, as in `fit`.
        section : array-like of shape (n_clips,), default=None
            What is known of the clips' sections, for detectors that tell them apart.

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
        check_is_fitted(self)
        data = self._prepare(self._check_X(X, reset=False))
        section = self._check_section(section, len(data))
        self._compare_conditions(data)
        return self._score_samples(data) if section is None else self._score_known(data, section)

    def decision_function(self, X: Any, *, section: Any = None) -> np.ndarray:
        """Score clips relative to the threshold, ``score_samples(X) - offset_``.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames), list of (n_mels, n_frames), \
                or array of shape (n_clips, n_features)
            Clips, as in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Negative for anomalies.

        Raises
        ------
        ValueError
            When the score was changed after the threshold was set.
        """
        self._check_scale()
        return self.score_samples(X, section=section) - self.offset_

    def predict(self, X: Any, *, section: Any = None) -> np.ndarray:
        """Decide on clips.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames), list of (n_mels, n_frames), \
                or array of shape (n_clips, n_features)
            Clips, as in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        ndarray of shape (n_clips,), int
            +1 normal, -1 anomalous.

        Raises
        ------
        ValueError
            When the score was changed after the threshold was set.
        """
        self._check_scale()
        return self.decide(self.score_samples(X, section=section))

    def decide(self, scores: Any) -> np.ndarray:
        """Decide on scores that were computed before: the one rule that all decisions follow.

        Parameters
        ----------
        scores : array-like of shape (n_clips,)
            From `score_samples`.

        Returns
        -------
        ndarray of shape (n_clips,), int
            -1 where a score is below `offset_` or not a number, else +1.

        Raises
        ------
        ValueError
            When the score was changed after the threshold was set.
        """
        self._check_scale()
        return np.where(np.asarray(scores) >= self.offset_, 1, -1)

    def p_values(self, X: Any, *, section: Any = None) -> np.ndarray:
        r"""Tell how sure an alarm is: how rare such a score is among new normal clips.

        .. math:: p = \frac{1 + \#\{i : c_i \le s\}}{n + 1}

        of a clip's score :math:`s` and the `calibration_scores_` :math:`c_i`.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames), list of (n_mels, n_frames), \
                or array of shape (n_clips, n_features)
            Clips, as in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            From 1 / (n + 1), the surest alarm that n calibration clips allow, to 1. Of new normal
            clips they are spread evenly, so that ``p_values(X) <= 0.05`` is wrong on 5 % of them.
            Of a batch, `scipy.stats.false_discovery_control` bounds the share of false alarms.

        Raises
        ------
        ValueError
            When the score was changed after the threshold was set, or the detector is not
            calibrated.
        """
        self._check_scale()
        if not self._is_calibrated:
            raise ValueError(
                "Got calibration=None: the threshold is set by clips that were trained on, of "
                "which no p-value can be had; fit with another calibration, or recalibrate on new "
                "normal clips."
            )
        return p_values(self.score_samples(X, section=section), self.calibration_scores_)

    def recalibrate(self, X: Any, y: Any = None, *, section: Any = None) -> Self:
        """Set the threshold anew, from given normal clips, without training.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames), list of (n_mels, n_frames), \
                or array of shape (n_clips, n_features)
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
        data = self._prepare(self._check_X(X, reset=False))
        section = check_metadata("section", section, len(data))  # of some it may not be known
        clips = replace(TrainingClips.gather(data, y), section=section)
        if section is not None:
            self._refuse_unknown(section[clips.normal])
        scores = self._score_clips(clips, clips.normal_index)
        self._set_offset(scores, is_calibrated=True)
        self._note_conditions(clips)
        return self

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` does before it looks at any data.

        Parameters
        ----------
        n_features : int, default=None
            Mel bands, or features, that are going to come; None where that is not known.

        Raises
        ------
        ValueError
            For values that cannot be, or that do not go together.
        """
        self._validate_params()
        if self.threshold == "mean_confidence" and not self._gives_log_odds:
            raise ValueError(
                'Got threshold="mean_confidence", but the scores of '
                f"{type(self).__name__} are no log-odds, of which a confidence could be made; pass "
                '"gamma", "quantile" or "conformal", or take a classifier such as '
                "OEMobileNetDetector."
            )
        self._check_params(n_features)

    # -- how it is done --------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return "offset_" in vars(self)  # the last thing that a fit does

    def _check_spectrograms(self, X: Any, *, reset: bool) -> Spectrograms:
        """Check spectrograms, and lay them end to end: a detector's `_check_X` that takes them."""
        from sklasd.training._windows import Spectrograms  # torch, which embeddings do not need

        checked = check_spectrograms(X, keep_bytes=self._takes_bytes)
        spectrograms = Spectrograms.stack(checked, are_images=are_bytes(X))
        if reset:
            self.n_features_in_ = spectrograms.n_mels
        elif spectrograms.n_mels != self.n_features_in_:
            raise ValueError(
                f"X has {spectrograms.n_mels} mel bands, but {type(self).__name__} was fitted on "
                f"{self.n_features_in_}; use the front end it was fitted with."
            )
        return spectrograms

    def _note_conditions(self, clips: TrainingClips) -> None:
        """Take note of how loud and how long the normal clips are, as they were recorded."""
        heard, index = self._heard(clips.data), clips.recorded_index
        self._conditions = (
            None if heard is None else Conditions.of(heard.levels[index], heard.n_frames[index])
        )

    def _compare_conditions(self, data: Any) -> None:
        """Warn where most clips are unlike those that were learnt from, whatever they score."""
        known, heard = vars(self).get("_conditions"), self._heard(data)
        if known is None or heard is None:
            return
        for sentence in known.differences(heard.levels, heard.n_frames):
            warnings.warn(sentence, UserWarning, stacklevel=3)

    def _forget(self) -> None:
        """Drop what an earlier fit has learnt: a fit that fails leaves nothing half-new behind."""
        for name in [n for n in vars(self) if n.endswith("_") and not n.startswith("_")]:
            delattr(self, name)

    def _check_clips(self, clips: TrainingClips) -> None:
        """Refuse clips that cannot be learnt from, before any training."""
        self._check_params(clips.n_features, clips)

    def _folds(self, clips: TrainingClips) -> list[tuple[np.ndarray, np.ndarray]]:
        """Deal out the normal clips, or nothing where a closed form or no calibration will do."""
        # A closed form leaves out one clip, and not what is too much like it.
        is_alone = clips.groups is None and clips.copy_of is None
        has_closed_form = self.calibration == "auto" and is_alone
        if self.calibration is None or (has_closed_form and hasattr(self, "_leave_one_out")):
            return []
        return calibration_folds(self.calibration, clips, is_quick=self._is_quick())

    def _calibrate(
        self, unfitted: Self, clips: TrainingClips, folds: list[tuple[np.ndarray, np.ndarray]]
    ) -> np.ndarray:
        """Score normal clips as if they were new: each by a detector that never saw it."""
        if self.calibration is None:
            return self._score_clips(clips, clips.recorded_index)
        if not folds:
            return self._leave_one_out(clips)
        if isinstance(getattr(self, "random_state", None), np.random.RandomState):
            # Its state has moved on: the net on all clips is what it is without a calibration.
            unfitted.random_state = draw_seed(self.random_state)
        scores = []
        for train, held_out in folds:
            detector = copy.copy(unfitted)
            detector._learn_less(len(train) / len(clips.recorded_index))
            detector._learn(clips.take_normal(train))
            scores.append(detector._score_held_out(clips, held_out))
        order = np.argsort(np.concatenate([held_out for _, held_out in folds]), kind="stable")
        return np.concatenate(scores)[order]

    def _check_section(self, section: Any, n_clips: int) -> np.ndarray | None:
        """Check sections (n_clips,) that scoring is told, before any work."""
        section = check_metadata("section", section, n_clips)
        if section is not None:
            self._refuse_unknown(section)
        return section

    def _only_known(self, section: Any) -> np.ndarray:
        """Return sections (n_clips,) with None for those that fit did not know."""
        known = np.array(section, dtype=object)
        known[self._are_unknown(known)] = None
        return known

    def _score_held_out(self, clips: TrainingClips, index: np.ndarray) -> np.ndarray:
        """Score clips of a fold, which may hold out all clips of a section."""
        if clips.section is not None:
            clips = replace(clips, section=self._only_known(clips.section))
        return self._score_clips(clips, index)

    def _score_clips(self, clips: TrainingClips, index: np.ndarray) -> np.ndarray:
        """Score clips at some positions, by their sections where these are known."""
        if clips.section is None:
            return self._score_samples(clips.data, index)
        return self._score_known(clips.data, clips.section[index], index)

    def _set_offset(self, scores: np.ndarray, *, is_calibrated: bool) -> None:
        bad = np.flatnonzero(~np.isfinite(scores))
        if bad.size:
            raise ValueError(
                f"The normal clips {bad[:10].tolist()} (counted without those left out) score "
                f"{scores[bad[0]]}, of which no threshold can be made; look at these recordings."
            )
        # All at once: what fails half-way leaves the old decision whole.
        offset = fit_offset(scores, self._threshold(), self.contamination)
        self.calibration_scores_, self.offset_ = scores, offset
        self._decided_by, self._is_calibrated = self._scale(), is_calibrated
        fewest = 1 / self.contamination - 1
        if is_calibrated and len(scores) < fewest:
            warnings.warn(
                f"{len(scores)} normal clips cannot tell a false-alarm rate of "
                f"contamination={self.contamination}: one of them is {1 / (len(scores) + 1):.0%}. "
                f"Pass at least {np.ceil(fewest):.0f}, or a larger contamination.",
                UserWarning,
                stacklevel=3,
            )

    def _threshold(self) -> Any:
        """Return the rule of the threshold."""
        return self.threshold

    def _scale(self) -> dict[str, str]:
        """Return what decides the scale of the scores, as it is told in an error."""
        return {name: repr(getattr(self, name)) for name in self._score_params}

    def _check_scale(self) -> None:
        """Refuse to compare scores with a threshold of another score."""
        check_is_fitted(self)
        changed = [
            f"{name}={value}, but the threshold was set for {self._decided_by[name]}"
            for name, value in self._scale().items()
            if value != self._decided_by[name]
        ]
        if changed:
            raise ValueError(
                f"Got {'; '.join(changed)}. Scores work, decisions do not: fit again (with "
                "`memory` and a `random_state` no net is trained again), or `recalibrate` on "
                "normal clips."
            )
