"""What a report says of a machine: figures, charts, parts, settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from sklasd.metrics import auc_score, evaluation_table, pauc_score
from sklasd.metrics._roc import MAX_FPR
from sklasd.plotting._training_curve import curves_of
from sklasd.report._charts import (
    Chart,
    chart_p_values,
    chart_roc,
    chart_scores,
    chart_training,
)
from sklasd.report._scored_fleet import ScoredMachine
from sklasd.report._settings import Setting, list_settings
from sklasd.report._texts import area_text, percent, share_text

HEADS = (
    "Machine",
    "Clips",
    "Anomalous",
    "AUC",
    "pAUC",
    "False alarms",
    "Faults found",
    "Threshold",
)
_FACTS = tuple[str, str, str, str]  # name, value, note, class of the style sheet


@dataclass(frozen=True)
class Counts:
    """Clips and decisions on them, and how well scores tell faults.

    Parameters
    ----------
    n_clips, n_flagged : int
        Clips, and those called anomalous.
    n_normal, n_faulty : int
        Clips that are known to be so.
    n_false, n_found : int
        Those of either that are called anomalous.
    auc, pauc : float
        NaN where not both kinds are known.
    """

    n_clips: int
    n_flagged: int
    n_normal: int
    n_faulty: int
    n_false: int
    n_found: int
    auc: float
    pauc: float

    @classmethod
    def of(cls, clips: pd.DataFrame) -> Counts:
        """Count the clips of a table with `score`, `decision` and perhaps `label`."""
        is_flagged = (clips["decision"] == -1).to_numpy()
        label = labels_of(clips)
        normal, faulty = label == 1, label == -1
        areas = (np.nan, np.nan)
        if normal.any() and faulty.any():
            known = normal | faulty
            pair = label[known].astype(int), rank_scores(clips)[known]
            areas = auc_score(*pair), pauc_score(*pair)
        return cls(
            len(clips), int(is_flagged.sum()), int(normal.sum()), int(faulty.sum()),
            int((normal & is_flagged).sum()), int((faulty & is_flagged).sum()), *areas,
        )  # fmt: skip

    def row(self, threshold: str) -> list[str]:
        """Return the values under `HEADS`, without the machine's name."""
        return [
            str(self.n_clips),
            str(self.n_flagged),
            area_text(self.auc),
            area_text(self.pauc),
            f"{self.n_false} of {self.n_normal}" if self.n_normal else "",
            f"{self.n_found} of {self.n_faulty}" if self.n_faulty else "",
            threshold,
        ]


@dataclass(frozen=True)
class MachinePart:
    """What the report shows of a machine.

    Parameters
    ----------
    name : str
        Of the machine.
    facts : list of tuple
        Name, value, note and style of each figure.
    row : list of str
        Its row in the table of machines.
    charts : list of Chart
        Scores, ROC, p-values and training, as far as they are known.
    parts : list of (str, list of str)
        The same row for each section and domain, where there are several.
    settings : list of Setting
        Of the model.
    """

    name: str
    facts: list[_FACTS]
    row: list[str]
    charts: list[Chart]
    parts: list[tuple[str, list[str]]]
    settings: list[Setting]

    @property
    def changed(self) -> int:
        """How many settings differ from their defaults."""
        return sum(setting.differs for setting in self.settings)


def describe_machine(machine: ScoredMachine) -> MachinePart:
    """Describe a machine.

    Parameters
    ----------
    machine : ScoredMachine
        From `score_fleet`.

    Returns
    -------
    MachinePart
        What the report shows.
    """
    counts = Counts.of(machine.clips)
    threshold = f"{machine.detector.offset_:.4g}"
    facts = facts_of(counts, asked_of(machine), interval=_auc_interval(machine.clips, counts))
    return MachinePart(
        machine.name,
        [*facts, _threshold_fact(machine)],
        counts.row(threshold),
        _charts(machine, counts),
        _split(machine.clips, threshold),
        list_settings(machine.model),
    )


def labels_of(clips: pd.DataFrame) -> np.ndarray:
    """Return +1, -1, or 0 where nothing is known, int (n_clips,)."""
    if "label" not in clips:
        return np.zeros(len(clips), dtype=int)
    return clips["label"].fillna(0).to_numpy().astype(int)


def rank_scores(clips: pd.DataFrame) -> np.ndarray:
    """Rank scores, which is all that areas depend on: what is no number lies below all others."""
    scores = clips["score"].to_numpy(dtype=float)
    return rankdata(np.where(np.isnan(scores), -np.inf, scores), method="dense")


def asked_of(machine: ScoredMachine) -> float | None:
    """Return the false-alarm rate that was asked for, where the threshold promises one."""
    promises = machine.detector._is_calibrated and machine.detector.threshold in (
        "gamma", "quantile", "conformal",
    )  # fmt: skip
    return machine.detector.contamination if promises else None


def facts_of(
    counts: Counts, asked: float | None, *, interval: str = "", n_machines: int = 1
) -> list[_FACTS]:
    """Say in figures how a model did.

    Parameters
    ----------
    counts : Counts
        Of a machine, or of all.
    asked : float or None
        The false-alarm rate that was asked for.
    interval : str
        Of the AUC.
    n_machines : int, default=1
        Over which areas are means.

    Returns
    -------
    list of tuple
        Name, value, note and style of each figure.
    """
    share = f"{percent(counts.n_flagged / counts.n_clips)} of all"
    facts = [
        ("Clips", str(counts.n_clips), _made_up_of(counts), ""),
        ("Anomalous", str(counts.n_flagged), share, "anomalous"),
    ]
    if np.isfinite(counts.auc):
        note = f"mean of {n_machines} machines" if n_machines > 1 else interval
        facts.append(("AUC", area_text(counts.auc), note, ""))
        facts.append(("pAUC", area_text(counts.pauc), f"up to {percent(MAX_FPR)} false alarms", ""))
    if counts.n_normal:
        note = share_text(counts.n_false, counts.n_normal, "normal clips")
        wanted = "" if asked is None else f"; {percent(asked)} asked for"
        facts.append(
            ("False alarms", percent(counts.n_false / counts.n_normal, 1), note + wanted, "")
        )
    if counts.n_faulty:
        note = share_text(counts.n_found, counts.n_faulty, "faults")
        facts.append(("Faults found", percent(counts.n_found / counts.n_faulty, 1), note, ""))
    return facts


def _made_up_of(counts: Counts) -> str:
    if not counts.n_normal and not counts.n_faulty:
        return "without labels"
    unknown = counts.n_clips - counts.n_normal - counts.n_faulty
    more = f", {unknown} unknown" if unknown else ""
    return f"{counts.n_normal} normal, {counts.n_faulty} faulty{more}"


def _auc_interval(clips: pd.DataFrame, counts: Counts) -> str:
    if not np.isfinite(counts.auc):
        return ""
    label = labels_of(clips)
    table = evaluation_table(label[label != 0], rank_scores(clips)[label != 0], year=2020)
    low, high = table.loc[0, ["auc_low", "auc_high"]]
    return f"{percent(0.95)} interval {low:.3f} to {high:.3f}"


def _threshold_fact(machine: ScoredMachine) -> _FACTS:
    detector = machine.detector
    n = len(detector.calibration_scores_)
    kind = "that were not learnt from" if detector._is_calibrated else "that were learnt from"
    return ("Threshold", f"{detector.offset_:.4g}", f"by {n} normal clips {kind}", "")


def _charts(machine: ScoredMachine, counts: Counts) -> list[Chart]:
    clips, label = machine.clips, labels_of(machine.clips)
    p_values, detector = clips["p_value"].to_numpy(), machine.detector
    width = float(np.median(detector.calibration_scores_)) - detector.offset_
    charts = [chart_scores(clips["score"].to_numpy(), label, detector.offset_, width)]
    if np.isfinite(counts.auc):
        known = label != 0
        charts.append(chart_roc(rank_scores(clips)[known], label[known]))
    if np.isfinite(p_values).all():
        charts.append(chart_p_values(p_values, label, len(detector.calibration_scores_)))
    curves = curves_of(detector)
    # One chart for each net, since their losses are in different units.
    charts += [
        chart_training(losses, f"Training, {name}" if len(curves) > 1 else "Training")
        for name, losses in curves.items()
        if len(losses) > 1
    ]
    return charts


def _split(clips: pd.DataFrame, threshold: str) -> list[tuple[str, list[str]]]:
    """Count by section and domain, where there are several."""
    told = [clips[c].astype(object) for c in ("section", "domain") if c in clips]
    told = [column.where(column.notna(), "unknown") for column in told]
    several = [column for column in told if column.nunique() > 1]
    if not several:
        return []
    return [
        (" ".join(map(str, name)), Counts.of(own).row(threshold))
        for name, own in clips.groupby(several, sort=True)
    ]
