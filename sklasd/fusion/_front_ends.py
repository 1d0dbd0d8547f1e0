"""What the members of a fusion take: front ends that learn nothing are computed once for all."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pickle import PicklingError
from typing import Any, NamedTuple, Self

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _is_fitted, _num_samples

from sklasd.base._unwrap import passes_through
from sklasd.clips._spectrograms import Spectrograms
from sklasd.utils._check_spectrograms import check_spectrograms


class Member(NamedTuple):
    """A member of a fusion, whose steps that learn nothing are kept apart."""

    name: str
    front_end: list[Any]  # transformers
    front_key: str  # the same for front ends that do the same
    rest: Any  # a detector, or a pipeline that ends in one

    @classmethod
    def split(cls, name: str, estimator: Any) -> Self:
        """Take off the steps that come before the first one that learns.

        Examples
        --------
        >>> from sklasd import LogMel, StatisticsDetector, make_pipeline
        >>> member = Member.split("level", make_pipeline(LogMel(), StatisticsDetector()))
        >>> member.front_end, member.rest
        ([LogMel()], StatisticsDetector())
        """
        if not isinstance(estimator, Pipeline):
            return cls(name, [], "", estimator)
        steps = [step for _, step in estimator.steps]
        n_front = 0
        while n_front < len(steps) - 1 and not _learns(steps[n_front]):
            n_front += 1
        # Copies, as later changes are another fit's; what is passed through does nothing.
        front_end = [clone(step) for step in steps[:n_front] if not passes_through(step)]
        rest = steps[-1] if n_front == len(steps) - 1 else estimator[n_front:]
        return cls(name, front_end, _key_of(front_end, name) if front_end else "", rest)


def _key_of(front_end: list[Any], name: str) -> str:
    steps = [
        (type(step), step._params_key() if hasattr(step, "_params_key") else step.get_params())
        for step in front_end
    ]
    try:
        return joblib.hash(steps)
    except (PicklingError, AttributeError, TypeError):  # such as a lambda: shared with nobody
        return f"front end of {name}"


@contextmanager
def warning_once() -> Iterator[None]:
    """Show each warning once, although several front ends read the same clips."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for words, kind in dict.fromkeys((str(each.message), each.category) for each in caught):
        warnings.warn(words, kind, stacklevel=5)


def _learns(step: Any) -> bool:
    """Return whether what a step makes of clips depends on those that it was fitted to."""
    if passes_through(step) or not getattr(step, "_learns_of_clips", True):
        return False
    return not hasattr(step, "__sklearn_tags__") or step.__sklearn_tags__().requires_fit


def _pass(X: Any, step: Any) -> Any:
    """Pass clips through a transformer; one that learns nothing may have to read its net first."""
    is_ready = not step.__sklearn_tags__().requires_fit or _is_fitted(step)
    return (step if is_ready else step.fit(X)).transform(X)


@dataclass(frozen=True)
class Features:
    """What the front ends make of the clips, each front end once.

    Parameters
    ----------
    X : clips
        As they came to the front ends.
    by_member : dict
        What each member gets; for a member that is a fusion, its own `Features`.
    made_spectrograms : list
        All spectrograms that were made on the way. By these silent clips are found, as rows of
        numbers do not show them.
    index : ndarray of int
        Positions of the clips that are meant; nothing is copied before it is taken.
    front_ends : dict
        The front end of each member, ready for further clips.
    """

    X: Any
    by_member: dict[str, Any]
    made_spectrograms: list[Any]
    index: np.ndarray
    front_ends: dict[str, list[Any]]

    @classmethod
    def make(cls, X: Any, members: list[Member]) -> Self:
        """Pass clips through the front ends of all members; members may share one."""
        front_ends = {member.front_key: member.front_end for member in members}
        # The clips first, then what comes out of each step.
        stages = {key: list(accumulate([X, *steps], _pass)) for key, steps in front_ends.items()}
        made = [X, *(x for of_one in stages.values() for x in of_one[1:])]
        return cls(
            X=X,
            by_member={member.name: stages[member.front_key][-1] for member in members},
            made_spectrograms=[x for x in made if are_spectrograms(x)],
            index=np.arange(_num_samples(X)),
            front_ends={member.name: front_ends[member.front_key] for member in members},
        )

    def __len__(self) -> int:
        return len(self.index)

    def take(self, name: str, index: np.ndarray | None = None) -> Any:
        """Return the features of some clips, or of all, for a member."""
        features = self.by_member[name]
        index = self.index if index is None else self.index[index]
        if isinstance(features, Features):
            return replace(features, index=features.index[index])
        is_all = np.array_equal(index, np.arange(_num_samples(self.X)))
        return features if is_all else _safe_indexing(features, index)

    @property
    def spectrograms(self) -> Spectrograms | None:
        """The first spectrograms that were made of the clips; None where there are none."""
        if not self.made_spectrograms:
            inner = [f.spectrograms for f in self.by_member.values() if isinstance(f, Features)]
            return next((found for found in inner if found is not None), None)
        return _stack(self.made_spectrograms[0])

    @property
    def are_silent(self) -> np.ndarray:
        """Whether a front end makes a clip silent, for any member: they have to agree on clips.

        A property, because only learning asks for it: scoring need not pay for it.
        """
        silent = np.zeros(_num_samples(self.X), dtype=bool)
        for each in self.made_spectrograms:
            silent |= _stack(each).are_silent
        for each in self.by_member.values():
            if isinstance(each, Features):
                silent |= each.are_silent
        return silent[self.index]


def _stack(spectrograms: Any) -> Spectrograms:
    return Spectrograms.stack(check_spectrograms(spectrograms, keep_bytes=True))


def are_spectrograms(X: Any) -> bool:
    """Return whether X is (n_clips, n_mels, n_frames), or a list of (n_mels, n_frames)."""
    if isinstance(X, list | tuple):
        return bool(X) and np.ndim(X[0]) == 2
    return getattr(X, "ndim", 0) == 3


def is_used(estimator: Any) -> bool:
    """Return whether a member is not left out."""
    return not (isinstance(estimator, str) and estimator == "drop")
