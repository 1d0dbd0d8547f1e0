"""Sections of a machine: their names, and scores by a clip's own section."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd

from sklasd.base._training_clips import TrainingClips
from sklasd.utils._lists import name_some
from sklasd.utils._metadata import check_metadata

_ALL = "all"  # the name of the only section where `fit` got none


@dataclass(frozen=True)
class Sections:
    """The sections that a detector has a score for.

    Parameters
    ----------
    names : ndarray of str, shape (n_sections,)
        Sorted; "all" where `fit` got no sections.
    are_given : bool
        Whether `fit` got sections. Without, a detector has one score and ignores them in scoring.

    Examples
    --------
    >>> clips = TrainingClips.gather(np.zeros((3, 2)), section=["01", "00", "01"])
    >>> sections = Sections.learn(clips)
    >>> sections.numbers(clips.section)
    array([1, 0, 1])
    >>> by_section = np.array([[1.0, 5.0], [2.0, 3.0]])
    >>> sections.pick(by_section, ["01", None])  # the second clip: its best section
    array([5., 2.])
    """

    names: np.ndarray
    are_given: bool

    @classmethod
    def learn(cls, clips: TrainingClips) -> Self:
        """Take the sections of the normal clips."""
        if clips.section is None:
            return cls(np.array([_ALL]), are_given=False)
        return cls(np.array(unique_names(clips.section[clips.normal])), are_given=True)

    @property
    def given(self) -> np.ndarray | None:
        """Names of the sections that `fit` got; None where it got none."""
        return self.names if self.are_given else None

    def numbers(self, section: Any) -> np.ndarray:
        """Return the numbers of sections (n_clips,) among `names`, -1 for others."""
        return pd.Index(self.names, dtype=object).get_indexer(section_names(section))

    def of_training(self, clips: TrainingClips) -> np.ndarray:
        """Return the numbers of the normal clips' sections, -1 for all other clips, (n_clips,)."""
        if not self.are_given:
            return np.where(clips.normal, 0, -1)
        return np.where(clips.normal, self.numbers(clips.section), -1)

    def pick(self, anomaly_scores: np.ndarray, section: Any) -> np.ndarray:
        """Pick each clip's score by its own section, or the best one if that is unknown."""
        best = anomaly_scores.min(axis=1)
        if section is None or not self.are_given:
            return best
        number = self.numbers(section)
        by_section = np.broadcast_to(anomaly_scores, (len(best), len(self.names)))
        return np.where(number < 0, best, by_section[np.arange(len(best)), number])


def section_names(section: Any) -> np.ndarray:
    """Write sections as text, so that 1 and "1" are one; None where they are missing.

    Examples
    --------
    >>> section_names([1, 1.0, np.float32(1), "01", None, float("nan")])
    array(['1', '1', '1', '01', None, None], dtype=object)
    """
    return np.array([_name(each) for each in np.asarray(section, dtype=object)], dtype=object)


def unique_names(section: Any) -> list[str]:
    """Return the names of sections, each once, sorted; missing ones are left out."""
    return sorted({name for name in section_names(section) if name is not None})


def _name(section: Any) -> str | None:
    if pd.isna(section):
        return None
    # A column of whole numbers with a missing value becomes a column of floats.
    is_number = isinstance(section, Real) and not isinstance(section, bool)
    return str(int(section) if is_number and float(section).is_integer() else section)


def check_section(section: Any, n_clips: int, learnt: Collection[str] | None) -> np.ndarray | None:
    """Check the sections that scoring is given."""
    section = check_metadata("section", section, n_clips)
    if section is None or learnt is None:
        return section
    unknown = _are_unknown(section, learnt)
    if unknown.any():
        raise ValueError(
            f"Got the sections {name_some(unique_names(section[unknown]))}, but fit got "
            f"{name_some(learnt)}; fit with clips of them, or pass None for clips of other "
            "sections, which are then scored by the section that fits best."
        )
    return section


def learnt_sections(section: Any, learnt: Collection[str] | None) -> np.ndarray:
    """Return sections (n_clips,) with None for those that a detector has no score for."""
    names = np.array(section, dtype=object)
    if learnt is not None:
        names[_are_unknown(names, learnt)] = None
    return names


def sections_of_column(section: np.ndarray, learnt: Collection[str] | None) -> np.ndarray:
    """Do as `learnt_sections` for the column of a clip table, and name what it leaves out."""
    unknown = np.zeros(len(section), bool) if learnt is None else _are_unknown(section, learnt)
    if unknown.any():
        warnings.warn(
            f"Got clips of the sections {name_some(unique_names(section[unknown]))}, which fit "
            "did not get: they are scored by the section that fits best. Fit with clips of them, "
            "or drop the column `section` to score all clips so.",
            UserWarning,
            stacklevel=5,
        )
    return learnt_sections(section, learnt)


def _are_unknown(section: np.ndarray, learnt: Collection[str]) -> np.ndarray:
    names = section_names(section)
    return np.array([name is not None and name not in learnt for name in names], dtype=bool)
