"""Which clips a detector is calibrated on: clips that its nets have not seen."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from sklasd.base._sections import learnt_sections
from sklasd.base._training_clips import TrainingClips
from sklasd.utils._seeds import draw_seed

if TYPE_CHECKING:
    from sklasd.base._base_detector import BaseDetector

Fold = tuple[np.ndarray, np.ndarray]  # positions of normal clips: to train on, to score

# Up to so many clips, so many folds (benchmarks/bench_calibration.py): what they cost together is
# bounded, as nets of few clips are quick to train.
AUTO_CALIBRATION = {
    "few folds": {100: 10, 200: 5},  # nets
    "many folds": {100: 100, 200: 20, 1000: 5},  # what is learnt in milliseconds
    "closed form": {},  # no folds: each clip is left out by arithmetic
}
_FOLDS_OF_GROUPS = 5
_SHARE = 4  # of still more clips every fourth is held out, which costs one training


def choose_folds(detector: BaseDetector, clips: TrainingClips) -> list[Fold]:
    """Choose the folds by which a detector is calibrated."""
    how = detector._auto_calibration(clips)
    needs_none = isinstance(detector.calibration, str) and how == "closed form"
    if detector.calibration is None or needs_none:
        return []
    return calibration_folds(detector.calibration, clips, is_quick=how != "few folds")


def held_out_scores(unlearnt: BaseDetector, clips: TrainingClips, folds: list[Fold]) -> np.ndarray:
    """Score normal clips as if they were new: each by a detector that was trained without it."""
    if isinstance(getattr(unlearnt, "random_state", None), np.random.RandomState):
        # Its state has moved on: the net on all clips is what it is without a calibration.
        unlearnt = copy.copy(unlearnt)
        unlearnt.random_state = draw_seed(unlearnt.random_state)
    scores = []
    for train, held_out in folds:
        detector = copy.copy(unlearnt)
        detector._match_training_effort(len(train) / len(clips.recorded_index))
        detector._learn(clips.take_normal(train))
        section = clips.take("section", held_out)
        if section is not None:  # a fold may hold out all clips of a section
            section = learnt_sections(section, detector._learnt_sections)
        scores.append(detector._score_samples(clips.data, held_out, section))
    order = np.argsort(np.concatenate([held_out for _, held_out in folds]), kind="stable")
    return np.concatenate(scores)[order]


def calibration_folds(
    calibration: Any, clips: TrainingClips, *, is_quick: bool = False
) -> list[Fold]:
    """Split the normal clips into folds, so that each is scored by a detector that never saw it.

    "auto" makes the folds of `AUTO_CALIBRATION`, five of groups, and holds out a quarter of more
    clips than are named there; an int is the number of folds; a scikit-learn splitter gets the
    normal clips, their sections and their groups. Sections and domains are spread evenly, and clips
    of one group stay together. Altered copies are in no fold: `TrainingClips.take_normal` puts them
    where their originals are. Returns positions of normal clips, to train on and to score.

    Examples
    --------
    >>> clips = TrainingClips.gather(np.zeros((150, 2)))
    >>> [held_out.size for _, held_out in calibration_folds("auto", clips)]
    [30, 30, 30, 30, 30]
    """
    index = clips.recorded_index
    groups = np.arange(len(index)) if clips.groups is None else clips.groups[index]
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        what = "normal clip" if clips.groups is None else "group of normal clips"
        raise ValueError(
            f"Got 1 {what} (1 sample), too few to hold one out for the threshold; "
            "pass more, or calibration=None, and recalibrate on new normal clips later."
        )
    if not isinstance(calibration, str | Integral):
        given_groups = None if clips.groups is None else groups
        with warnings.catch_warnings():  # what comes of it is checked below
            warnings.filterwarnings("ignore", "The groups parameter is ignored", UserWarning)
            given = list(
                calibration.split(np.zeros((len(index), 1)), _strata(clips, index), given_groups)
            )
        return _check_folds([(index[train], index[test]) for train, test in given], clips)
    n_used = None  # of the folds: all
    if isinstance(calibration, Integral):
        n_folds = int(calibration)
    elif clips.groups is not None:
        n_folds = _FOLDS_OF_GROUPS
    elif len(index) <= max(choice := AUTO_CALIBRATION["many folds" if is_quick else "few folds"]):
        n_folds = next(folds for most, folds in choice.items() if len(index) <= most)
    else:
        n_folds, n_used = _SHARE, 1
    pairs = _split(_strata(clips, index), groups, min(n_folds, n_groups))
    # Where strata and groups go together, a fold may be left with nothing to hold out.
    folds = [(index[train], index[test]) for train, test in pairs if len(test) and len(train)]
    return _check_folds(folds[:n_used], clips)


def _check_folds(folds: list[Fold], clips: TrainingClips) -> list[Fold]:
    """Refuse folds of a splitter that would make thresholds look surer than they are."""
    held_out = np.concatenate([np.empty(0, dtype=int), *(test for _, test in folds)])
    if not held_out.size or not all(len(train) for train, _ in folds):
        raise ValueError(
            "Got a calibration that holds out no clip, or all of them; pass another splitter."
        )
    if len(np.unique(held_out)) < len(held_out):
        raise ValueError(
            "Got a calibration that holds clips out more than once, so that they would count as "
            "several; pass a splitter without repetitions."
        )
    groups = clips.groups
    if groups is not None and any(np.isin(groups[te], groups[tr]).any() for tr, te in folds):
        raise ValueError(
            "Got groups, and a calibration that splits them between training and calibration; "
            "pass a splitter such as GroupKFold, or an int."
        )
    return folds


def _strata(clips: TrainingClips, index: np.ndarray) -> np.ndarray:
    """Number the combinations of section and domain."""
    columns = [c[index].astype(str) for c in (clips.section, clips.domain) if c is not None]
    if not columns:
        return np.zeros(len(index), dtype=int)
    return np.unique(np.stack(columns), axis=1, return_inverse=True)[1].ravel()


def _split(strata: np.ndarray, groups: np.ndarray, n_folds: int) -> Iterator[Fold]:
    if np.bincount(strata).max() < n_folds:  # no stratum can be spread over all folds
        strata = np.zeros_like(strata)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():  # a small stratum is spread as far as it goes
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        yield from folds.split(np.zeros((len(strata), 1)), strata, groups)
