"""Training on normal clips; scores and decisions of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sklasd.base import BaseDetector
from sklasd.base._clip_table import read_fit_input
from sklasd.base._decision import decision_of
from sklasd.base._fit_with import fit_with
from sklasd.base._unwrap import clip_format, detector_of, split_by_model
from sklasd.clips import ClipError
from sklasd.clips._map_clips import map_clips
from sklasd.clips._sound_file import ClipFormat
from sklasd.clips._waveforms import list_clips
from sklasd.evaluation._parts import held_out_clips, training_clips
from sklasd.metrics._scored_clips import drop_scores


def fit_pipeline(model: Any, clips: pd.DataFrame) -> Any:
    """Fit on normal clips; estimators of other packages get what the table says, too."""
    given = read_fit_input(clips)
    return fit_with(model, given.X, **given.metadata)


def add_scores(model: Any, clips: pd.DataFrame) -> pd.DataFrame:
    """Score clips and decide, each clip by the model of its group where there are several.

    The clip table gets the columns `score`, higher for normal clips; `p_value`, how rare such a
    score is among normal clips, missing for a detector without calibration; `threshold`, below
    which a score is anomalous; and `decision`, +1 normal or -1 anomalous. The last two are missing
    for an estimator that does not decide.
    """
    clips = drop_scores(clips)
    scores = model.score_samples(clips)
    # One batch is scored, and then split: only decisions differ from group to group.
    models = split_by_model(model, clips)
    parts = [_decide(detector_of(each), scores[rows], clips.iloc[rows]) for _, each, rows in models]
    return pd.concat(parts).iloc[np.argsort(np.concatenate([rows for *_, rows in models]))]


def _decide(detector: Any, scores: np.ndarray, clips: pd.DataFrame) -> pd.DataFrame:
    decision: Any = np.nan
    offset: Any = np.nan
    if isinstance(detector, BaseDetector):
        decision, offset = detector.decide(scores), detector.offset_
    elif hasattr(detector, "offset_"):  # scikit-learn's outlier detectors use the same name
        decision, offset = np.where(scores >= detector.offset_, 1, -1), detector.offset_
    is_calibrated = isinstance(detector, BaseDetector) and decision_of(detector).is_calibrated
    rarity = decision_of(detector).p_values(scores) if is_calibrated else np.nan
    return clips.assign(score=scores, p_value=rarity, threshold=offset, decision=decision)


def score_usable(model: Any, clips: pd.DataFrame) -> pd.DataFrame:
    """Score the usable clips and decide; give the reason why each other clip is unusable.

    The clip table gets the columns of `add_scores`, which are missing for unusable clips, and
    `reason`, which is missing for the others. Without any usable clip, ClipError is raised.
    """
    clips = drop_scores(clips).reset_index(drop=True)
    reasons: dict[int, str] = {}
    while True:  # a front end names the clips that it cannot read, then a detector those too short
        left = clips.drop(index=list(reasons))
        try:
            scored = add_scores(model, left)
        except ClipError as error:
            if not error.clips:  # it names no clip, so that leaving some out does not help
                raise
            reasons |= {left.index[i]: reason for i, reason in error.reasons.items()}
            if len(reasons) == len(clips):
                raise ClipError(len(clips), reasons, clips["path"].to_dict()) from error
            continue
        added = scored[[name for name in scored if name not in clips]]
        return clips.join(added).assign(reason=pd.Series(reasons, dtype=str))


def measure_levels(estimator: Any, clips: pd.DataFrame) -> np.ndarray:
    """Measure the levels that a volume meter would show: RMS in dB re full scale, (n_clips,).

    Clips are read at the sample rate and channel of the estimator's front ends. Without a front
    end, or with different ones, they are read at 16 kHz.
    """
    try:
        form = clip_format(estimator)
    except ValueError:
        form = ClipFormat(16000)

    def level(wave: np.ndarray) -> np.ndarray:
        # The smallest number keeps digital silence finite, at -200 dB.
        return 10 * np.log10(np.mean(np.square(wave), dtype=np.float64) + 1e-20)

    # No longest duration: the estimator has scored the clips, so none is too long.
    form = form._replace(max_duration=None)
    return np.array(list(map_clips(level, list_clips(clips), form, desc="RMS level")))


def evaluate_machine(pipeline: Any, table: pd.DataFrame, *, labelled: bool = True) -> pd.DataFrame:
    """Train on one machine's normal clips and score its test clips, by default the labelled ones.

    The test clips get the columns of `add_scores`, and their `level` in dB.
    """
    fit_pipeline(pipeline, training_clips(table))
    scored = add_scores(pipeline, held_out_clips(table, labelled=labelled))
    return scored.assign(level=measure_levels(pipeline, scored))
