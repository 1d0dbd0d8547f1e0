"""Base of splitters of clips: read and check clips, check folds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklasd.model_selection._split_clips import Mask, SplitClips

Fold = tuple[Mask, Mask]  # training clips, test clips


class ClipSplitter(BaseEstimator):
    """Base of the splitters.

    It is an estimator only for `clone`, `repr` and metadata routing.
    """

    # scikit-learn reads this name when metadata are routed through a search.
    __metadata_request__split: ClassVar = {"groups": True, "exposed": True}
    _parameter_constraints: ClassVar[dict] = {}
    _remedy: ClassVar[str]

    def split(
        self, X: Any, y: Any = None, groups: Any = None, exposed: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield the training and test clips of each fold.

        Parameters
        ----------
        X : clip table, or array-like of n_clips rows
            The clips. Only the columns of a clip table matter.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; None reads the column `label`.
        groups : array-like of shape (n_clips,), default=None
            Values that replace the columns of the splitter.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of other machines; None reads the column `exposed`, if there is one.

        Yields
        ------
        train : ndarray of int
            Positions of the normal and the exposed clips to train on.
        test : ndarray of int
            Positions of the normal and the anomalous clips to test.

        Raises
        ------
        ValueError
            If labels or groups are missing or unknown, or if any fold has no normal clip to train
            on, or lacks normal or anomalous clips to test.
        """
        self._validate_params()
        clips = self._read(X, y, exposed)
        # All folds at once: an error in the last must come before training.
        folds = [(train & clips.may_train, test) for train, test in self._folds(clips, groups)]
        for number, (train, test) in enumerate(folds):
            self._check_fold(number, clips, train, test)
        for train, test in folds:
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(
        self, X: Any = None, y: Any = None, groups: Any = None, exposed: Any = None
    ) -> int:
        """Return the number of folds; the arguments are those of `split`, where it depends on them.

        Returns
        -------
        int
            The number of folds.
        """
        return self._count_folds(X, y, groups, exposed)

    def _read(self, X: Any, y: Any, exposed: Any) -> SplitClips:
        return SplitClips.read(X, y, exposed, needs_anomalies=self._tests_anomalies())

    def _count_folds(self, X: Any, y: Any, groups: Any, exposed: Any) -> int:
        return 1

    @abstractmethod
    def _folds(self, clips: SplitClips, groups: Any) -> Iterator[Fold]:
        """Yield (training, test) masks."""

    def _tests_anomalies(self) -> bool:
        return True

    def _check_fold(self, number: int, clips: SplitClips, train: Mask, test: Mask) -> None:
        needed = {
            "normal clip to train on": train & clips.normal,
            "normal clip to test": test & clips.normal,
        }
        if self._tests_anomalies():
            needed["anomalous clip to test"] = test & clips.anomalous
        lacking = [f"no {what}" for what, there in needed.items() if not there.any()]
        if lacking:  # a score of one class would be NaN, after all the training
            raise ValueError(
                f"Fold {number} of {self!r} has {' and '.join(lacking)}, but it needs all of "
                f"these; {self._remedy}."
            )
