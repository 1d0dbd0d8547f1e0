"""Figures of several displays."""

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
    """Draw a row for each machine: ROC, scores, and the worst clip with its anomaly map.

    `machines` has the fitted pipeline and the scored test clips of each. A figure is returned.
    """
    figure = require_matplotlib().Figure(figsize=(19, 4.2 * len(machines)), layout="constrained")
    # `squeeze` would make the rows of a single machine axes.
    rows = figure.subplots(len(machines), 4, squeeze=False)
    for axes, name in zip(rows, machines, strict=True):
        roc, scores, sound, where = axes
        pipeline, clips = machines[name]
        label, score, end = clips["label"].astype(int), clips["score"], pipeline[-1].offset_
        PartialROCDisplay.from_predictions(label, score, ax=roc)
        ScoreHistogramDisplay.from_predictions(score, label, threshold=end, ax=scores)
        worst = clips.loc[[score.idxmin()]]
        display = SpectrogramDisplay.from_estimator(pipeline, worst, ax=sound)
        AnomalyMapDisplay.from_estimator(pipeline, worst, ax=where)
        titles = f"{name}: ROC", "Scores", f"Worst clip: {display.name}", "Its anomaly map"
        for ax, title in zip(axes, titles, strict=True):
            ax.set_title(title)
    return figure


def plot_clip(seen: InspectedClip) -> Any:
    """Draw a clip's spectrogram, its anomaly map, and the anomaly over time, one below the other.

    Parameters
    ----------
    seen : InspectedClip
        From `sklasd.inspection.inspect_clips`.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with its own ``savefig``.

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
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.5))
    # The three share the axis of time, so that they can be compared column by column.
    axes = {"times": seen.times, "frequencies": seen.frequencies}
    clip = {"unit": seen.spectrogram_unit, "name": seen.name}
    SpectrogramDisplay.from_arrays(seen.spectrogram, ax=top, **clip, **axes)
    AnomalyMapDisplay.from_arrays(seen.anomaly_map, unit=seen.map_unit, ax=middle, **axes)
    ScoreOverTimeDisplay.from_arrays(seen.anomaly_map, times=seen.times, ax=bottom)
    for ax in (top, middle):  # the axis of time is the lowest one's
        ax.set_xlabel("")
    return figure
