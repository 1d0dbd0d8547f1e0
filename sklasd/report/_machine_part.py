"""The part of a report about one machine: figures, charts, sections and domains, settings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from sklasd.base._decision import decision_of
from sklasd.metrics import evaluation_table
from sklasd.metrics._roc import MAX_FPR
from sklasd.plotting._training_curve import curves_of
from sklasd.report._charts import (
    Chart,
    chart_p_values,
    chart_roc,
    chart_scores,
    chart_training,
)
from sklasd.report._counts import Counts, rank_scores, read_labels
from sklasd.report._scored_fleet import ScoredMachine
from sklasd.report._settings import Setting, list_settings
from sklasd.report._texts import area_text, percent, share_text

_PLAIN_RULE = 2020  # the year whose rule takes the AUC of all clips, without domains
_PROMISES = ("gamma", "quantile", "conformal")  # thresholds that aim at a false-alarm rate


class Fact(NamedTuple):
    """A figure: its name, value, a note, and a class of style.css."""

    name: str
    value: str
    note: str
    style: str = ""


class MachinePart(NamedTuple):
    """What the report shows of a machine.

    `row` is its row in the table of machines, by heading, and `parts` has the same row for each
    section and domain, where there are several.
    """

    name: str
    facts: list[Fact]
    row: dict[str, str]
    charts: list[Chart]
    parts: list[tuple[str, dict[str, str]]]
    settings: list[Setting]

    @property
    def n_changed(self) -> int:
        """Number of settings that differ from their defaults."""
        return sum(setting.differs for setting in self.settings)


def describe_machine(machine: ScoredMachine) -> MachinePart:
    """Describe a machine by its scored clips and its model."""
    counts = Counts.of(machine.clips)
    threshold = f"{machine.detector.offset_:.4g}"
    facts = list_facts(counts, wanted_rate(machine), note=_auc_interval(machine.clips, counts))
    return MachinePart(
        machine.name,
        [*facts, _threshold_fact(machine, threshold)],
        counts.row(threshold),
        _draw_charts(machine, counts),
        _count_parts(machine.clips, threshold),
        list_settings(machine.model),
    )


def wanted_rate(machine: ScoredMachine) -> float | None:
    """Return the false-alarm rate that the user asked for, or None if the threshold has none."""
    detector = machine.detector
    # A threshold by the training clips' own scores promises nothing about new clips.
    has_rate = decision_of(detector).is_calibrated and detector.threshold in _PROMISES
    return detector.contamination if has_rate else None


def list_facts(counts: Counts, wanted: float | None, *, note: str) -> list[Fact]:
    """List the figures that the labels allow, with a note about the AUC."""
    share = f"{percent(counts.n_flagged / counts.n_clips)} of all"
    facts = [
        Fact("Clips", str(counts.n_clips), _describe_labels(counts)),
        Fact("Anomalous", str(counts.n_flagged), share, "anomalous"),
    ]
    if np.isfinite(counts.auc):
        up_to = f"up to {percent(MAX_FPR)} false alarms"
        facts += [Fact("AUC", area_text(counts.auc), note)]
        facts += [Fact("pAUC", area_text(counts.pauc), up_to)]
    if counts.n_normal:
        # A test set is often too small to tell 5 % from 20 %; the interval says so.
        interval = share_text(counts.n_false, counts.n_normal, "normal clips")
        goal = "" if wanted is None else f"; {percent(wanted)} asked for"
        rate = percent(counts.n_false / counts.n_normal, 1)
        facts += [Fact("False alarms", rate, interval + goal)]
    if counts.n_faulty:
        interval = share_text(counts.n_found, counts.n_faulty, "faults")
        facts += [Fact("Faults found", percent(counts.n_found / counts.n_faulty, 1), interval)]
    return facts


def _describe_labels(counts: Counts) -> str:
    if not counts.n_normal and not counts.n_faulty:
        return "without labels"
    n_unknown = counts.n_clips - counts.n_normal - counts.n_faulty
    more = f", {n_unknown} unknown" if n_unknown else ""
    return f"{counts.n_normal} normal, {counts.n_faulty} faulty{more}"


def _auc_interval(clips: pd.DataFrame, counts: Counts) -> str:
    if not np.isfinite(counts.auc):
        return ""
    labels = read_labels(clips)
    is_labelled = labels != 0
    # Row 0 is the only machine's only section, since neither is passed.
    table = evaluation_table(labels[is_labelled], rank_scores(clips)[is_labelled], year=_PLAIN_RULE)
    low, high = table.loc[0, ["auc_low", "auc_high"]]
    return f"{percent(0.95)} interval {low:.3f} to {high:.3f}"


def _threshold_fact(machine: ScoredMachine, threshold: str) -> Fact:
    detector = machine.detector
    kind = "held out from training" if decision_of(detector).is_calibrated else "of the training"
    n_clips = len(detector.calibration_scores_)
    return Fact("Threshold", threshold, f"set by {n_clips} normal clips {kind}")


def _draw_charts(machine: ScoredMachine, counts: Counts) -> list[Chart]:
    clips, labels = machine.clips, read_labels(machine.clips)
    p_values, detector = clips["p_value"].to_numpy(), machine.detector
    width = float(np.median(detector.calibration_scores_)) - detector.offset_
    charts = [chart_scores(clips["score"].to_numpy(), labels, detector.offset_, width)]
    if np.isfinite(counts.auc):
        # Ranks have the same curve, and a place for a score that is NaN.
        is_labelled = labels != 0
        charts += [chart_roc(rank_scores(clips)[is_labelled], labels[is_labelled])]
    if np.isfinite(p_values).all():
        charts += [chart_p_values(p_values, labels, len(detector.calibration_scores_))]
    curves = curves_of(detector)
    # One chart for each net, since their losses are in different units.
    charts += [
        chart_training(losses, f"Training, {name}" if len(curves) > 1 else "Training")
        for name, losses in curves.items()
        if len(losses) > 1
    ]
    return charts


def _count_parts(clips: pd.DataFrame, threshold: str) -> list[tuple[str, dict[str, str]]]:
    """Count by section and domain, where there are several."""
    columns = [clips[name].astype(object) for name in ("section", "domain") if name in clips]
    # Clips without a section or domain are a group of their own, so that the counts add up.
    columns = [column.where(column.notna(), "unknown") for column in columns]
    several = [column for column in columns if column.nunique() > 1]
    if not several:
        return []
    return [
        (" ".join(map(str, name)), Counts.of(own).row(threshold))
        for name, own in clips.groupby(several, sort=True)
    ]
