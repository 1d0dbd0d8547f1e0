"""Training on normal clips, scores and decisions of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sklasd.base import BaseDetector
from sklasd.base._backend import fit_with, last_step
from sklasd.base._calibration import p_values
from sklasd.clips import ClipError
from sklasd.clips._map_clips import map_clips
from sklasd.clips._sound_file import ClipFormat
from sklasd.clips._waveforms import list_clips
from sklasd.detectors._grouped import deal_models
from sklasd.evaluation._parts import held_out_clips, training_clips

MADE = ("score", "decision", "threshold", "p_value", "reason")  # columns that scoring makes


def fit_pipeline(model: Any, clips: pd.DataFrame) -> Any:
    """Fit on a clip table, and tell the detector of sections, domains and recordings.

    Parameters
    ----------
    model : estimator
        A pipeline such as `make_recipe` gives, or what is around one.
    clips : DataFrame
        Normal clips.

    Returns
    -------
    estimator
        The same one, fitted.
    """
    metadata = {c: clips[c].to_numpy() for c in ("section", "domain") if c in clips}
    if "recording" in clips and clips["recording"].duplicated().any():
        # A clip of no known recording is one by itself.
        metadata["groups"] = clips["recording"].fillna(clips["path"]).to_numpy()
    return fit_with(model, clips, **metadata)


def score_clips(model: Any, clips: pd.DataFrame) -> pd.DataFrame:
    """Score and decide, each clip by the model of its group where there are several.

    Parameters
    ----------
    model : estimator
        Fitted.
    clips : DataFrame
        The clip table.

    Returns
    -------
    DataFrame
        Its rows with more columns: `score`, higher for normal clips; `decision`, +1 normal or -1
        anomalous; `threshold`, below which a score is anomalous; both missing of an estimator that
        does not decide; `p_value`, how rare such a score is among normal clips, missing where the
        detector is not calibrated.
    """
    clips = clips.drop(columns=list(MADE), errors="ignore")  # of a table that was scored before
    scores = model.score_samples(clips)
    dealt = deal_models(model, clips)
    parts = [_decide(last_step(each), scores[rows], clips.iloc[rows]) for _, each, rows in dealt]
    return pd.concat(parts).iloc[np.argsort(np.concatenate([rows for *_, rows in dealt]))]


def _decide(detector: Any, scores: np.ndarray, clips: pd.DataFrame) -> pd.DataFrame:
    decision: Any = np.nan
    offset: Any = np.nan
    if isinstance(detector, BaseDetector):
        decision, offset = detector.decide(scores), detector.offset_
    elif hasattr(detector, "offset_"):  # of others, which has a threshold of the same name
        decision, offset = np.where(scores >= detector.offset_, 1, -1), detector.offset_
    is_calibrated = isinstance(detector, BaseDetector) and detector.decision_.is_calibrated
    rarity = p_values(scores, detector.calibration_scores_) if is_calibrated else np.nan
    return clips.assign(score=scores, decision=decision, threshold=offset, p_value=rarity)


def score_usable(pipeline: Any, clips: pd.DataFrame) -> pd.DataFrame:
    """Score and decide on the clips that can be used, and say of each other one why it cannot.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted.
    clips : DataFrame
        The clip table.

    Returns
    -------
    DataFrame
        Its rows with the columns of `score_clips`, which are missing for clips that cannot be used,
        and `reason`, which is missing for the others.

    Raises
    ------
    ClipError
        When no clip can be used.
    """
    clips = clips.drop(columns=list(MADE), errors="ignore").reset_index(drop=True)
    reasons: dict[int, str] = {}
    while True:  # a front end names what it cannot read, and a detector then what is too short
        left = clips.drop(index=list(reasons))
        try:
            scored = score_clips(pipeline, left)
        except ClipError as error:
            if not error.clips:  # of no clip in particular, so that leaving some out does not help
                raise
            reasons |= {left.index[i]: reason for i, reason in error.reasons.items()}
            if len(reasons) == len(clips):
                raise ClipError(len(clips), reasons, clips["path"].to_dict()) from error
            continue
        added = scored[[name for name in scored if name not in clips]]
        return clips.join(added).assign(reason=pd.Series(reasons, dtype=str))


def measure_levels(estimator: Any, clips: pd.DataFrame) -> np.ndarray:
    """Measure what a volume meter would show.

    Parameters
    ----------
    estimator : estimator
        A front end, or what has one among its parts: clips are read as its first front end reads
        them. Where none is found, they are read at 16 kHz.
    clips : DataFrame
        The clip table.

    Returns
    -------
    ndarray of shape (n_clips,)
        RMS in dB re full scale.
    """
    form = _heard_format(estimator)._replace(max_duration=None)  # they were read before

    def level(wave: np.ndarray) -> np.ndarray:
        return 10 * np.log10(np.mean(np.square(wave), dtype=np.float64) + 1e-20)

    return np.array(list(map_clips(level, list_clips(clips), form, desc="RMS level")))


def _heard_format(estimator: Any) -> ClipFormat:
    parts = [estimator, *estimator.get_params().values()]
    formats = [getattr(part, "clip_format", None) for part in parts]
    return next((form for form in formats if isinstance(form, ClipFormat)), ClipFormat(16000))


def evaluate_machine(pipeline: Any, table: pd.DataFrame, *, labelled: bool = True) -> pd.DataFrame:
    """Train on one machine's normal clips and score its test clips.

    Parameters
    ----------
    pipeline : estimator
        Fitted here.
    table : DataFrame
        The machine's clips.
    labelled : bool, default=True
        Leave out test clips without a label.

    Returns
    -------
    DataFrame
        The test clips with the columns of `score_clips`, and the `level` in dB.
    """
    fit_pipeline(pipeline, training_clips(table))
    scored = score_clips(pipeline, held_out_clips(table, labelled=labelled))
    return scored.assign(level=measure_levels(pipeline, scored))
