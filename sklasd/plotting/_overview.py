"""Pictures of a detector at work, in one figure."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from sklasd.plotting._anomaly_map import AnomalyMapDisplay
from sklasd.plotting._matplotlib import require_matplotlib
from sklasd.plotting._partial_roc import PartialROCDisplay
from sklasd.plotting._score_histogram import ScoreHistogramDisplay
from sklasd.plotting._spectrogram import SpectrogramDisplay


def plot_overview(machines: dict[str, tuple[Pipeline, pd.DataFrame]]) -> Any:
    """Draw one row per machine: ROC, scores, and the worst clip with its anomaly map.

    Parameters
    ----------
    machines : dict of str to (Pipeline, DataFrame)
        The fitted pipeline and the scored test clips of each machine. A column `regions` of
        (start, end, low, high) boxes, in seconds and Hz, is drawn over the worst clip.

    Returns
    -------
    matplotlib.figure.Figure
        To be saved.
    """
    figure = require_matplotlib().Figure(figsize=(19, 4.2 * len(machines)), layout="constrained")
    rows = figure.subplots(len(machines), 4, squeeze=False)
    for axes, (name, (pipeline, clips)) in zip(rows, machines.items(), strict=True):
        label, score = clips["label"].astype(int), clips["score"]
        PartialROCDisplay.from_predictions(label, score, ax=axes[0])
        axes[0].set_title(f"{name}: ROC")
        threshold = pipeline[-1].offset_
        ScoreHistogramDisplay.from_predictions(score, label, threshold=threshold, ax=axes[1])
        axes[1].set_title("Scores")
        worst = clips.loc[[score.idxmin()]]
        heard = SpectrogramDisplay.from_estimator(pipeline, worst, ax=axes[2])
        axes[2].set_title(f"Worst clip: {heard.name}")
        AnomalyMapDisplay.from_estimator(pipeline, worst, ax=axes[3])
        axes[3].set_title("Its anomaly map")
    return figure
