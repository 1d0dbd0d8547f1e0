"""Counts of clips and decisions, and the areas under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from sklasd.metrics import auc_score, pauc_score
from sklasd.report._texts import area_text


@dataclass(frozen=True)
class Counts:
    """Clips and decisions, and how well scores separate faults from normal clips.

    Flagged clips are called anomalous: false alarms among the normal ones, and found faults. The
    areas are NaN unless there are clips with either label.
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
        labels = read_labels(clips)
        normal, faulty = labels == 1, labels == -1
        areas = (np.nan, np.nan)
        if normal.any() and faulty.any():
            # Clips without a label count as clips, but cannot enter an area.
            pair = labels[labels != 0], rank_scores(clips)[labels != 0]
            areas = auc_score(*pair), pauc_score(*pair)
        return cls(
            len(clips), int(is_flagged.sum()), int(normal.sum()), int(faulty.sum()),
            int((normal & is_flagged).sum()), int((faulty & is_flagged).sum()), *areas,
        )  # fmt: skip

    def row(self, threshold: str) -> dict[str, str]:
        """Return the row of a table, by its headings."""
        return {
            "Clips": str(self.n_clips),
            "Anomalous": str(self.n_flagged),
            "AUC": area_text(self.auc),
            "pAUC": area_text(self.pauc),
            "False alarms": f"{self.n_false} of {self.n_normal}" if self.n_normal else "",
            "Faults found": f"{self.n_found} of {self.n_faulty}" if self.n_faulty else "",
            "Threshold": threshold,
        }


def read_labels(clips: pd.DataFrame) -> np.ndarray:
    """Return +1, -1, or 0 for a clip without a label, int (n_clips,)."""
    if "label" not in clips:
        return np.zeros(len(clips), dtype=int)
    # 0, since an array of integers has no place for NaN.
    return clips["label"].fillna(0).to_numpy().astype(int)


def rank_scores(clips: pd.DataFrame) -> np.ndarray:
    """Return the ranks of the scores, on which areas depend; NaN is below all other scores."""
    scores = clips["score"].to_numpy(dtype=float)
    # `predict` calls a clip whose score is NaN anomalous, and the areas should agree with it.
    return rankdata(np.where(np.isnan(scores), -np.inf, scores), method="dense")
