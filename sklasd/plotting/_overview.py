"""Pictures of a detector at work; matplotlib is an extra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve
from sklearn.pipeline import Pipeline

from sklasd.metrics import auc_score, pauc_score
from sklasd.plotting._matplotlib import require_matplotlib

__all__ = ["plot_overview", "require_matplotlib"]

_TICKS = (125, 250, 500, 1000, 2000, 4000, 8000)  # Hz


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
        _draw_roc(axes[0], clips)
        axes[0].set_title(f"{name}: ROC")
        _draw_scores(axes[1], clips, pipeline[-1].offset_)
        _draw_worst(axes[2], axes[3], pipeline, clips)
    return figure


def _draw_roc(axes: Any, clips: pd.DataFrame) -> None:
    """Draw the ROC of the anomalies, and the part of it that pAUC measures."""
    label, score = clips["label"].astype(int), clips["score"]
    false_alarms, hits, _ = roc_curve(label == -1, -score, drop_intermediate=False)
    few = np.linspace(0, 0.1, 101)
    axes.fill_between(few, np.interp(few, false_alarms, hits), color="C1", alpha=0.4, lw=0,
                      label=f"pAUC {pauc_score(label, score):.3f}")  # fmt: skip
    axes.plot(false_alarms, hits, color="C0", label=f"AUC {auc_score(label, score):.3f}")
    axes.plot([0, 1], [0, 1], ":", color="gray", lw=1, label="chance")
    axes.set(xlabel="false alarms / normal clips", ylabel="found / anomalous clips")
    axes.legend(loc="lower right")


def _draw_scores(axes: Any, clips: pd.DataFrame, offset: float) -> None:
    """Draw a histogram of the scores of either kind, and the threshold."""
    bins = np.histogram_bin_edges([*clips["score"], offset], bins=20)
    for label, name, colour in ((1, "normal", "C0"), (-1, "anomalous", "C3")):
        scores = clips.loc[clips["label"] == label, "score"]
        axes.hist(scores, bins, color=colour, alpha=0.6, label=f"{name} ({len(scores)})")
    axes.axvline(offset, color="black", ls="--", label=f"threshold {offset:.3g}")
    axes.set(xlabel="score (higher is more normal)", ylabel="clips", title="Scores")
    axes.legend()


def _draw_worst(left: Any, right: Any, pipeline: Pipeline, clips: pd.DataFrame) -> None:
    """Draw the spectrogram of the worst clip, and where its anomaly is."""
    worst = clips.loc[[clips["score"].idxmin()]]
    features = pipeline[:-1].transform(worst)
    where = pipeline[-1].anomaly_map(features)[0]
    seconds = features[0].shape[1] * pipeline[0].hop_length / pipeline[0].sample_rate
    regions = worst["regions"].iloc[0] if "regions" in worst else []
    name = str(worst["path"].iloc[0]).replace("\\", "/").rsplit("/", 1)[-1]
    for axes, image, title, colours, unit in (
        (left, features[0], f"Worst clip: {name}", "magma", "dB"),
        (right, where, "Its anomaly map", "viridis", pipeline[-1]._map_unit),
    ):
        # A few empty bands, or a single outlier, would take all the contrast.
        low, high = np.quantile(image, [0.02, 0.998])
        shown = axes.imshow(
            image, origin="lower", aspect="auto", interpolation="nearest", cmap=colours,
            vmin=low, vmax=high, extent=(0, seconds, 0, len(image)),
        )  # fmt: skip
        axes.figure.colorbar(shown, ax=axes, label=unit, pad=0.01)
        axes.set(xlabel="time in s", ylabel="frequency in Hz", title=title)
        _draw_frequencies(axes, pipeline[0].mel_frequencies, regions)


def _draw_frequencies(axes: Any, frequencies: np.ndarray, regions: Any) -> None:
    """Label mel bands in Hz, and frame the true fault where it is known."""
    bands = np.arange(len(frequencies)) + 0.5
    ticks = [f for f in _TICKS if frequencies[0] <= f <= frequencies[-1] * 1.05]
    axes.set_yticks(np.interp(ticks, frequencies, bands), [f"{f:g}" for f in ticks])
    for start, end, low, high in regions:
        y = np.interp([low, high], frequencies, bands)
        axes.plot([start, end, end, start, start], y[[0, 0, 1, 1, 0]], color="white", lw=0.8)
