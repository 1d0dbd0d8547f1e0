"""What an evaluation is made of: clips to train on and to test, scores, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sklasd.base import BaseDetector
from sklasd.base._backend import fit_with, last_step
from sklasd.base._calibration import p_values
from sklasd.clips._map_clips import map_clips
from sklasd.clips._sound_file import ClipFormat
from sklasd.clips._waveforms import ClipError, clip_name, list_clips
from sklasd.detectors._grouped import deal_models
from sklasd.metrics import evaluation_table

LEVEL = "RMS level"  # the volume meter that any detector has to beat
MADE = ("score", "decision", "threshold", "p_value", "reason")  # columns that scoring makes


def training_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Pick the clips to learn from: normal ones for training, or all where nothing is known.

    Parameters
    ----------
    table : DataFrame
        The clip table.

    Returns
    -------
    DataFrame
        Some of its rows.

    Raises
    ------
    ValueError
        When none is left.

    Examples
    --------
    >>> training_clips(pd.DataFrame({"path": ["a", "b"], "label": [1, -1]}))["path"].tolist()
    ['a']
    """
    keep = np.ones(len(table), dtype=bool)
    if "split" in table and (table["split"] == "train").any():
        keep &= (table["split"] == "train").to_numpy()
    if "label" in table:
        keep &= (table["label"].fillna(1) == 1).to_numpy()
    if not keep.any():
        raise ValueError("There is no normal clip for training; put some in a folder 'train'.")
    return table[keep]


def held_out_clips(table: pd.DataFrame, *, labelled: bool = True) -> pd.DataFrame:
    """Pick the clips held out for testing.

    Parameters
    ----------
    table : DataFrame
        The clip table.
    labelled : bool, default=True
        Only those with a label.

    Returns
    -------
    DataFrame
        Some of its rows, perhaps none.
    """
    if "split" not in table or (labelled and "label" not in table):
        return table[:0]
    clips = table[table["split"] == "test"]
    return clips[clips["label"].notna()] if labelled else clips


def usable_machines(table: pd.DataFrame, *, labelled: bool = True) -> tuple[list[str], list[str]]:
    """Tell the machines that can be trained on and tested.

    Parameters
    ----------
    table : DataFrame
        The clip table.
    labelled : bool, default=True
        Ask for test clips of both labels.

    Returns
    -------
    usable, others : list of str
        Names of machines, in the order of the table.

    Examples
    --------
    >>> table = pd.DataFrame({"machine": ["fan"] * 3, "split": ["train", "test", "test"],
    ...                       "label": [1, 1, -1]})
    >>> usable_machines(table)
    (['fan'], [])
    """
    usable: list[str] = []
    others: list[str] = []
    for name, clips in table.groupby("machine", sort=False):
        held_out = held_out_clips(clips, labelled=labelled)
        is_trainable = "split" in clips and (clips["split"] == "train").any()
        is_testable = len(held_out) > 0 and (not labelled or held_out["label"].nunique() == 2)
        (usable if is_trainable and is_testable else others).append(str(name))
    return usable, others


def new_normal_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Pick the clips to recalibrate on: normal ones, of no part for training.

    Parameters
    ----------
    table : DataFrame
        The clip table; clips of which nothing is known are normal and new.

    Returns
    -------
    DataFrame
        Some of its rows.

    Raises
    ------
    ValueError
        When none is left.

    Examples
    --------
    >>> table = pd.DataFrame({"path": ["a", "b", "c"], "split": ["train", "test", "test"],
    ...                       "label": [1, 1, -1]})
    >>> new_normal_clips(table)["path"].tolist()
    ['b']
    """
    keep = np.ones(len(table), dtype=bool)
    if "split" in table:
        keep &= table["split"].ne("train").to_numpy()
    if "label" in table:
        keep &= (table["label"].fillna(1) == 1).to_numpy()
    if not keep.any():
        raise ValueError(
            "There is no new normal clip: a model may have learnt from those of a part 'train', by "
            "which most others would be alarms. Name normal recordings that it has not learnt from."
        )
    return table[keep]


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
    is_calibrated = isinstance(detector, BaseDetector) and detector._is_calibrated
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
            for i in error.clips:
                reasons[left.index[i]] = error.reason(i, left["path"].iloc[i])
            if len(reasons) == len(clips):
                named = {i: f"{clip_name(i, clips['path'][i])} {reasons[i]}" for i in clips.index}
                raise ClipError(len(clips), named) from error
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


def tabulate(scored: pd.DataFrame, detector: str) -> pd.DataFrame:
    """Make the table of AUC and pAUC, the volume meter's beside the detector's.

    Parameters
    ----------
    scored : DataFrame
        From `evaluate_machine`, of one machine or several.
    detector : str
        Its name in the table.

    Returns
    -------
    DataFrame
        Rows per machine, section and detector, with the means of `evaluation_table`. For the
        volume meter, louder is more anomalous: an AUC near 0 says that faults are quieter.
    """
    return compare({detector: scored})


def compare(scored: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Make one table of several detectors, and of the volume meter.

    Parameters
    ----------
    scored : mapping of {str: DataFrame}
        By the detector's name, what `evaluate_machine` returns, all of the same clips. The volume
        meter's levels are those of the first.

    Returns
    -------
    DataFrame
        As from `tabulate`.
    """
    clips = next(iter(scored.values()))
    groups = {c: clips[c] for c in ("machine", "section", "domain") if c in clips}
    year = int(clips["year"].iloc[0]) if "year" in clips else 2020
    rows = [(name, each["score"], _decisions(each)) for name, each in scored.items()]
    parts = []
    for name, values, decision in [*rows, (LEVEL, -clips["level"], None)]:
        part = evaluation_table(clips["label"], values, y_pred=decision, year=year, **groups)
        parts.append(part.assign(detector=name))
    # A stable sort by row number puts the rows of one section below each other, the meter's last.
    table = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    first = [c for c in ("machine", "section", "domain", "row", "detector") if c in table]
    return table[first + [c for c in table if c not in first]]


def _decisions(scored: pd.DataFrame) -> pd.Series | None:
    return scored["decision"] if scored["decision"].notna().all() else None


def average_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Average the tables of several seeds.

    Parameters
    ----------
    tables : sequence of DataFrame
        From `tabulate`, all of the same rows.

    Returns
    -------
    DataFrame
        One table as it is; of several, the means, and beside each its standard deviation
        (`<name>_std`) in place of the confidence interval.

    Examples
    --------
    >>> a = pd.DataFrame({"machine": ["fan"], "auc": [0.8], "auc_low": [0.7], "auc_high": [0.9]})
    >>> average_seeds([a, a.assign(auc=0.6)]).round(3)
      machine  auc  auc_std
    0     fan  0.7    0.141
    """
    if len(tables) == 1:
        return tables[0]
    values = [c for c in tables[0].select_dtypes("number") if not c.endswith(("_low", "_high"))]
    stack = np.stack([table[values].to_numpy() for table in tables])
    result = tables[0].drop(columns=tables[0].select_dtypes("number").columns)
    mean, deviation = stack.mean(axis=0), stack.std(axis=0, ddof=1)
    for i, name in enumerate(values):
        result[name], result[f"{name}_std"] = mean[:, i], deviation[:, i]
    return result


def shorten(table: pd.DataFrame) -> pd.DataFrame:
    """Keep what fits on a screen: sections and the official score, areas and F1.

    Parameters
    ----------
    table : DataFrame
        From `tabulate` or `average_seeds`.

    Returns
    -------
    DataFrame
        Some rows and columns of it.
    """
    rows = table[table["row"].isin({"section", "official"})].copy()
    is_official = rows["row"] == "official"
    rows.loc[is_official, ["machine", "section"]] = ["official", ""]
    if "domain" in rows:
        rows.loc[is_official, "domain"] = ""
    wanted = (
        "machine", "section", "domain", "detector", "official", "official_std", "auc", "auc_low",
        "auc_high", "auc_std", "auc_source", "auc_target", "pauc", "pauc_std", "f1",
    )  # fmt: skip
    return rows[[c for c in wanted if c in rows]]
