"""The decision: a threshold learnt from the scores of normal clips, and what it says of others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklasd.base._conditions import Conditions
from sklasd.base._threshold import fit_offset
from sklasd.utils._lists import name_some


@dataclass(frozen=True)
class Decision:
    """A threshold, the scores that it was made of, and what both hold for.

    Parameters
    ----------
    calibration_scores : ndarray of shape (n_calibration_clips,)
        Scores of normal clips.
    offset : float
        A clip that scores below is anomalous.
    is_calibrated : bool
        Whether the detector had not learnt from these clips.
    score_params : dict
        Parameters that change the scale of the scores, with the values that the threshold is for.
    conditions : Conditions or None
        Level and length of these clips; None where they are not compared.

    Examples
    --------
    >>> decision = Decision.learn(np.arange(100.0), threshold="conformal", contamination=0.1)
    >>> decision.offset
    9.0
    >>> decision.decide([8.0, 9.0, np.nan]), decision.p_values(np.array([8.0, np.nan])).round(3)
    (array([-1,  1, -1]), array([0.099, 0.01 ]))
    """

    calibration_scores: np.ndarray
    offset: float
    is_calibrated: bool
    score_params: dict[str, Any]
    conditions: Conditions | None

    @classmethod
    def learn(
        cls,
        scores: np.ndarray,
        *,
        threshold: Any,
        contamination: float,
        is_calibrated: bool = True,
        score_params: dict[str, Any] | None = None,
        conditions: Conditions | None = None,
    ) -> Self:
        """Make a threshold of the scores of normal clips."""
        bad = np.flatnonzero(~np.isfinite(scores))
        if bad.size:
            raise ValueError(
                f"The normal clips {name_some(bad)} (counted without those left out) score "
                f"{scores[bad[0]]}, which makes no threshold; look at these recordings."
            )
        offset = fit_offset(scores, threshold, contamination)
        fewest = 1 / contamination - 1
        if is_calibrated and len(scores) < fewest:
            warnings.warn(
                f"{len(scores)} normal clips cannot tell a false-alarm rate of "
                f"contamination={contamination}: one of them is {1 / (len(scores) + 1):.0%}. "
                f"Pass at least {np.ceil(fewest):.0f}, or a larger contamination.",
                UserWarning,
                stacklevel=5,
            )
        return cls(scores, offset, is_calibrated, score_params or {}, conditions)

    def decide(self, scores: Any) -> np.ndarray:
        """Return -1 for scores below the threshold and for NaN, else +1, shape (n_clips,)."""
        return np.where(np.asarray(scores) >= self.offset, 1, -1)

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        r"""Compute how rare a score at most as high is among new normal clips.

        .. math:: p = \frac{1 + \#\{i : c_i \le s\}}{n + 1}
        """
        reference = np.sort(self.calibration_scores)
        rank = np.where(np.isnan(scores), 0, np.searchsorted(reference, scores, side="right"))
        return (1 + rank) / (len(reference) + 1)

    def check_score_params(self, score_params: dict[str, Any]) -> None:
        """Refuse to decide on scores of another scale."""
        changed = [
            f"{name}={value!r}, but the threshold was set for {self.score_params[name]!r}"
            for name, value in score_params.items()
            if not np.array_equal(value, self.score_params[name])
        ]
        if changed:
            raise ValueError(
                f"Got {'; '.join(changed)}. Scores work, decisions do not: fit again (with "
                "`memory` and a `random_state` no net is trained again), or `recalibrate` on "
                "normal clips."
            )

    def warn_of_conditions(self, data: Any) -> None:
        """Warn where most clips are far louder, quieter, longer or shorter than these were."""
        spectrograms = getattr(data, "spectrograms", None)
        if self.conditions is None or spectrograms is None:
            return
        for sentence in self.conditions.differences(spectrograms.levels, spectrograms.n_frames):
            warnings.warn(sentence, UserWarning, stacklevel=4)


def decision_of(detector: Any) -> Decision:
    """Return the decision of a detector."""
    decision = vars(detector).get("decision_")
    if decision is None:
        raise NotFittedError(
            f"This {type(detector).__name__} has no threshold yet: fit it, or, where it was fitted "
            "as a part of another detector, recalibrate it on normal clips."
        )
    return decision


def valid_decision(detector: Any) -> Decision:
    """Return the decision of a detector whose scores are on the scale that it was made for."""
    check_is_fitted(detector)
    decision = decision_of(detector)
    decision.check_score_params(detector._score_param_values())
    return decision
