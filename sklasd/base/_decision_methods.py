"""The methods of `BaseDetector` that decide: each asks the detector's one decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sklasd.base._decision import valid_decision

if TYPE_CHECKING:
    from sklasd.base._base_detector import BaseDetector


def decision_function(self: BaseDetector, X: Any, *, section: Any = None) -> np.ndarray:
    """Score clips relative to the threshold, ``score_samples(X) - offset_``.

    Parameters
    ----------
    X : clips
        As in `fit`.
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
    decision = valid_decision(self)
    return self.score_samples(X, section=section) - decision.offset


def predict(self: BaseDetector, X: Any, *, section: Any = None) -> np.ndarray:
    """Decide on clips.

    Parameters
    ----------
    X : clips
        As in `fit`.
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
    decision = valid_decision(self)
    return decision.decide(self.score_samples(X, section=section))


def decide(self: BaseDetector, scores: Any) -> np.ndarray:
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
    return valid_decision(self).decide(scores)


def p_values(self: BaseDetector, X: Any, *, section: Any = None) -> np.ndarray:
    r"""Tell how sure an alarm is: how rare such a score is among new normal clips.

    .. math:: p = \frac{1 + \#\{i : c_i \le s\}}{n + 1}

    of a clip's score :math:`s` and the `calibration_scores_` :math:`c_i`.

    Parameters
    ----------
    X : clips
        As in `fit`.
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
    decision = valid_decision(self)
    if not decision.is_calibrated:
        raise ValueError(
            "Got calibration=None: the threshold is set by clips that were trained on, which "
            "give no p-values; fit with another calibration, or recalibrate on new normal "
            "clips."
        )
    return decision.p_values(self.score_samples(X, section=section))
