"""Detectors that tell sections apart: their names, and scores by a clip's own section."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from sklasd.base._net_detector import NetDetector
from sklasd.base._section_names import section_names, unique_names
from sklasd.base._training_clips import TrainingClips

_NAMED = 10  # sections in a message


class SectionDetector(NetDetector):
    """Base of detectors with a score for each section: a clip's own, or the best where unknown.

    A detector's `_train_nets` learns the names (`_learn_sections`), and it says where in what was
    pooled over a clip the sections' scores are (`_of_sections`). A detector that was fitted without
    sections has one score, whatever sections it is told of later.
    """

    sections_: np.ndarray
    _knows_sections: bool

    @abstractmethod
    def _of_sections(self, pooled: dict[str, np.ndarray], score: str) -> np.ndarray:
        """Return an anomaly score by each section, (n_clips, n_sections), or (n_clips, 1)."""

    def _learn_sections(self, clips: TrainingClips) -> np.ndarray:
        """Learn the sections' names; return clips' numbers, -1 of those not learnt from."""
        self._knows_sections = clips.section is not None
        names = np.full(len(clips), "all", dtype=object)
        if clips.section is not None:
            names = section_names(clips.section)
        self.sections_ = np.unique(names[clips.normal].astype(str))
        return np.where(clips.normal, self._numbers(names), -1)

    def _numbers(self, section: Any) -> np.ndarray:
        """Find sections among those that were learnt from, (n_clips,); -1 where they are not."""
        return pd.Index(self.sections_, dtype=object).get_indexer(section_names(section))

    def _are_unknown(self, section: np.ndarray) -> np.ndarray:
        if not self._knows_sections:
            return super()._are_unknown(section)
        return (self._numbers(section) < 0) & ~pd.isna(section)

    def _score_known(self, data: Any, section: Any, clips: Any = None) -> np.ndarray:
        name = self.anomaly_score
        return -self._join_known(self._pooled(data, clips), {name}, section)[name]

    def _join(
        self, pooled: dict[str, np.ndarray], scores: Collection[str]
    ) -> dict[str, np.ndarray]:
        return {name: self._of_sections(pooled, name).min(axis=1) for name in scores}

    def _join_known(
        self, pooled: dict[str, np.ndarray], scores: Collection[str], section: np.ndarray
    ) -> dict[str, np.ndarray]:
        if not self._knows_sections:
            return self._join(pooled, scores)
        number = self._numbers(section)
        joined = {}
        for name in scores:
            values = self._of_sections(pooled, name)
            of_each = np.broadcast_to(values, (len(values), len(self.sections_)))
            own = of_each[np.arange(len(number)), number]
            joined[name] = np.where(number < 0, values.min(axis=1), own)
        return joined

    def _refuse_unknown(self, section: np.ndarray) -> None:
        unknown = self._are_unknown(section)
        if unknown.any():
            raise ValueError(
                f"Got the sections {unique_names(section[unknown])[:_NAMED]}, but fit was told of "
                f"{self.sections_.tolist()}; fit with clips of them, or leave out what is not "
                "known (None), to score by the section that fits best."
            )
