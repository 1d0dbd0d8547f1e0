"""From what `fit` was given to a trained scorer, with all checks before any work."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sklasd.base._calibration import Fold
from sklasd.base._clip_table import read_fit_input
from sklasd.base._training_clips import TrainingClips

if TYPE_CHECKING:
    from sklasd.base._base_detector import BaseDetector


def train(
    detector: BaseDetector,
    X: Any,
    y: Any,
    metadata: dict[str, Any],
    choose: Callable[[TrainingClips], list[Fold]],
) -> tuple[TrainingClips, list[Fold], BaseDetector]:
    """Check everything, then learn from all clips; the folds are checked, but not learnt from.

    Parameters
    ----------
    detector : BaseDetector
        Learns in place.
    X, y, metadata : object
        What `fit` was given.
    choose : callable
        From the checked clips to the folds that a calibration is going to need.

    Returns
    -------
    clips : TrainingClips
        The checked clips.
    folds : list of (ndarray, ndarray)
        Positions to train on and to score.
    unlearnt : BaseDetector
        A copy of the detector from before it learnt, for the folds.
    """
    detector.check_params()
    given = read_fit_input(X, y, **metadata)
    with given.naming_clips():
        data = detector._prepare(given.X, reset=True)
        clips = TrainingClips.gather(data, given.y, **given.metadata)
        folds = choose(clips)
        for learnt in (clips, *(clips.take_normal(train) for train, _ in folds)):
            detector._check_clips(learnt)
        unlearnt = copy.copy(detector)
        detector._learn(clips)
    detector.decision_ = None  # a scorer, so far
    return clips, folds, unlearnt


@contextmanager
def all_or_nothing(detector: BaseDetector) -> Iterator[None]:
    """Forget what an earlier fit has learnt, but restore it where the new fit does not succeed."""
    before = dict(vars(detector))
    for name in before.get("_learnt_names", ()):
        vars(detector).pop(name, None)
    unlearnt = set(vars(detector))  # parameters, and what scikit-learn sets for a while
    try:
        yield
    except BaseException:  # Ctrl-C, too
        vars(detector).clear()
        vars(detector).update(before)
        raise
    detector._learnt_names = tuple(sorted(vars(detector).keys() - unlearnt))
