"""Checks of thresholds, calibration and p-values, for every detector.

Each check gets an unfitted detector, which it may change, and sounds.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit

from sklasd.base import BaseDetector
from sklasd.testing._assertions import assert_raises
from sklasd.testing._sounds import Sounds


def check_exposed_set_no_threshold(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that the threshold is the quantile of the machine's own normal clips."""
    X = np.concatenate([sounds.train, sounds.test[sounds.label == -1]])
    metadata = sounds.metadata(len(X))
    is_own = sounds.are_own(len(X)) & (np.arange(len(X)) < len(sounds.train))
    detector.set_params(threshold="quantile").fit(X, **(metadata | {"exposed": ~is_own}))
    section = sounds.section(len(X), is_own)
    scores = detector.score_samples(X[is_own], **section)
    np.testing.assert_array_equal(np.sort(detector.calibration_scores_), np.sort(scores))
    assert detector.offset_ == np.percentile(scores, 100 * detector.contamination)
    n_beyond = np.ceil(detector.contamination * (len(scores) - 1))
    if len(np.unique(scores)) == len(scores):  # a clip may be its own nearest neighbour: all tie
        assert np.sum(detector.predict(X[is_own], **section) == -1) == n_beyond


def check_calibration_changes_no_score(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that held-out clips set the threshold, and change no score."""
    plain = sounds.fit(clone(detector))
    calibrated = sounds.fit(clone(detector).set_params(calibration=2))
    np.testing.assert_array_equal(
        plain.score_samples(sounds.test), calibrated.score_samples(sounds.test)
    )
    assert plain.offset_ != calibrated.offset_  # else nothing was held out
    assert len(plain.calibration_scores_) == len(calibrated.calibration_scores_)


def check_calibration_is_out_of_fold(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that calibration scores come from a detector fitted without the clips it scores."""
    n_clips = len(sounds.train)
    own = np.flatnonzero(sounds.are_own(n_clips))  # exposed clips are not calibrated on
    held_out = own[1::2]
    folds = PredefinedSplit(np.where(np.isin(own, held_out), 0, -1))
    calibrated = clone(detector).set_params(calibration=folds, contamination=0.25)
    sounds.fit(calibrated)
    y = np.ones(n_clips)
    y[held_out] = -1  # takes no part in training
    without = clone(detector)
    # The detector of a fold takes as many steps as that of all clips.
    without._match_training_effort(1 - len(held_out) / len(own))
    sounds.fit(without, y=y)
    np.testing.assert_array_equal(
        calibrated.calibration_scores_,
        without.score_samples(sounds.train[held_out], **sounds.section(n_clips, held_out)),
    )


def check_new_normal_clips(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that new normal clips rarely raise alarms, and that only faults have low p-values."""
    detector.set_params(calibration="auto", threshold="quantile", contamination=0.1)
    sounds.fit(detector)
    normal = sounds.label == 1
    section = sounds.section(len(sounds.test))
    p = detector.p_values(sounds.test, **section)
    reference = detector.calibration_scores_
    scores = detector.score_samples(sounds.test, **section)
    expected = [(1 + np.sum(reference <= s)) / (len(reference) + 1) for s in scores]
    np.testing.assert_array_equal(p, expected)
    n_alarms = np.sum(detector.predict(sounds.test, **section)[normal] == -1)
    # Wide bounds: two dozen clips tell a rate of a tenth only roughly.
    assert n_alarms <= 0.5 * normal.sum(), f"{n_alarms} of {normal.sum()} new normal clips"
    assert np.median(p[normal]) > 0.15, "new normal clips have low p-values"
    assert np.median(p[~normal]) <= 0.15, "bursts have high p-values"


def check_uncalibrated_p_values(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that there are no p-values from clips that were trained on."""
    sounds.fit(detector.set_params(calibration=None))
    assert_raises("calibration=None", detector.p_values, sounds.test)
    detector.recalibrate(sounds.test[sounds.label == 1])
    assert detector.p_values(sounds.test).min() > 0


def check_recalibration(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that new normal clips set a new threshold, and change nothing else."""
    sounds.fit(detector.set_params(threshold="quantile"))
    scores = detector.score_samples(sounds.test)
    assert detector.recalibrate(sounds.test, sounds.label) is detector
    np.testing.assert_array_equal(detector.score_samples(sounds.test), scores)
    normal = scores[sounds.label == 1]
    assert detector.offset_ == np.percentile(normal, 100 * detector.contamination)


ALL = (
    check_exposed_set_no_threshold,
    check_calibration_changes_no_score,
    check_calibration_is_out_of_fold,
    check_new_normal_clips,
    check_uncalibrated_p_values,
    check_recalibration,
)
