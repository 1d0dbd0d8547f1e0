"""Pictures of a detector at work, in one figure."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from sklasd.inspection import InspectedClip
from sklasd.plotting._anomaly_map import AnomalyMapDisplay
from sklasd.plotting._matplotlib import require_matplotlib
from sklasd.plotting._partial_roc import PartialROCDisplay
from sklasd.plotting._score_histogram import ScoreHistogramDisplay
from sklasd.plotting._score_over_time import ScoreOverTimeDisplay
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


def plot_clip(seen: InspectedClip) -> Any:
    """Draw a clip's spectrogram, its anomaly map below, and how anomalous each moment is.

    Parameters
    ----------
    seen : InspectedClip
        From `sklasd.inspection.inspect_clips`.

    Returns
    -------
    matplotlib.figure.Figure
        To be saved.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import make_recipe
    >>> from sklasd.inspection import inspect_clips
    >>> waves = np.random.default_rng(0).normal(size=(20, 16000))
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves)
    >>> figure = plot_clip(inspect_clips(pipeline, waves[:1])[0])
    >>> [axes.get_ylabel() for axes in figure.axes[:2]]
    ['frequency in Hz', 'frequency in Hz']
    """
    figure = require_matplotlib().Figure(figsize=(10, 9), layout="constrained")
    heard, mapped, over_time = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.5))
    axes = {"times": seen.times, "frequencies": seen.frequencies}
    SpectrogramDisplay.from_arrays(
        seen.spectrogram, unit=seen.spectrogram_unit, name=seen.name, ax=heard, **axes
    )
    AnomalyMapDisplay.from_arrays(seen.anomaly_map, unit=seen.map_unit, ax=mapped, **axes)
    ScoreOverTimeDisplay.from_arrays(seen.anomaly_map, times=seen.times, ax=over_time)
    for above in (heard, mapped):
        above.set_xlabel("")
    return figure
