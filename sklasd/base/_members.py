"""Members of a fusion, and what they take: front ends that learn nothing are computed once."""

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

from sklasd.base._backend import check_params_of, last_step, passes_through
from sklasd.base._base_detector import BaseDetector
from sklasd.training._windows import Spectrograms
from sklasd.utils._check_spectrograms import check_spectrograms


class Member(NamedTuple):
    """A member, with the part of its pipeline that learns nothing set apart."""

    name: str
    front_end: list[Any]  # transformers
    front_key: str  # the same for front ends that do the same
    rest: Any  # a detector, or a pipeline that ends in one

    @classmethod
    def split(cls, name: str, estimator: Any) -> Self:
        """Set the steps apart that come before the first one that learns.

        Parameters
        ----------
        name : str
            Of the member.
        estimator : estimator
            A detector, or a pipeline that ends in one.

        Returns
        -------
        Member
            Unfitted.

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
    """Let front ends that read the same clips say what they find once."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for words, kind in dict.fromkeys((str(each.message), each.category) for each in caught):
        warnings.warn(words, kind, stacklevel=5)


def _learns(step: Any) -> bool:
    """Tell whether what a step makes of clips depends on those that it was fitted to."""
    if passes_through(step) or not getattr(step, "_learns_of_clips", True):
        return False
    return not hasattr(step, "__sklearn_tags__") or step.__sklearn_tags__().requires_fit


def _make(x: Any, step: Any) -> Any:
    # One that learns nothing of clips may have to be fitted all the same, to read its net.
    is_ready = not step.__sklearn_tags__().requires_fit or _is_fitted(step)
    return (step if is_ready else step.fit(x)).transform(x)


@dataclass(frozen=True)
class Features:
    """What the front ends made of the clips, each front end once.

    Parameters
    ----------
    given : clips
        As they came to the front ends.
    made : dict
        By member; of a member that is a fusion, its own `Features`.
    spectrograms : list
        All that there were on the way, by which silent clips are known: rows do not tell.
    clips : ndarray of int
        Positions of the clips that are meant; nothing is copied before it is taken.
    front_ends : dict
        The front end of each member, ready for further clips.
    """

    given: Any
    made: dict[str, Any]
    spectrograms: list[Any]
    clips: np.ndarray
    front_ends: dict[str, list[Any]]

    @classmethod
    def make(cls, X: Any, members: list[Member]) -> Self:
        """Pass clips through the front ends of all members.

        Parameters
        ----------
        X : clips
            As the members take them.
        members : list of Member
            Of which some may share a front end.

        Returns
        -------
        Features
            Of all clips.
        """
        front_ends = {member.front_key: member.front_end for member in members}
        # What comes out of each step, first of all the clips.
        stages = {key: [*accumulate(steps, _make, initial=X)] for key, steps in front_ends.items()}
        made = {member.name: stages[member.front_key][-1] for member in members}
        seen = [X, *(x for of_one in stages.values() for x in of_one[1:])]
        return cls(
            given=X,
            made=made,
            spectrograms=[*filter(are_spectrograms, seen)],
            clips=np.arange(_num_samples(X)),
            front_ends={member.name: front_ends[member.front_key] for member in members},
        )

    def __len__(self) -> int:
        return len(self.clips)

    def take(self, name: str, clips: Any = None) -> Any:
        """Return the features of some clips, or of all, for a member.

        Parameters
        ----------
        name : str
            Of the member.
        clips : ndarray of int, default=None
            Positions.

        Returns
        -------
        clips, or Features
            The latter for a fusion.
        """
        made = self.made[name]
        index = self.clips if clips is None else self.clips[clips]
        if isinstance(made, Features):
            return replace(made, clips=made.clips[index])
        is_all = np.array_equal(index, np.arange(_num_samples(self.given)))
        return made if is_all else _safe_indexing(made, index)

    @property
    def heard(self) -> Spectrograms | None:
        """The spectrograms of all clips that were made first; None where there are none."""
        if not self.spectrograms:
            inner = (each.heard for each in self.made.values() if isinstance(each, Features))
            return next((heard for heard in inner if heard is not None), None)
        return Spectrograms.stack(check_spectrograms(self.spectrograms[0], keep_bytes=True))

    @property
    def are_silent(self) -> np.ndarray:
        """Whether a front end makes a clip silent, for any member: they are to agree on the clips.

        Found when it is asked for: who scores never does.
        """
        silent = np.zeros(_num_samples(self.given), dtype=bool)
        for each in self.spectrograms:
            silent |= Spectrograms.stack(check_spectrograms(each, keep_bytes=True)).are_silent
        for each in self.made.values():
            if isinstance(each, Features):
                silent |= each.are_silent
        return silent[self.clips]


def are_spectrograms(X: Any) -> bool:
    """Tell spectrograms, (n_clips, n_mels, n_frames) or a list of (n_mels, n_frames), by shape."""
    if isinstance(X, list | tuple):
        return bool(X) and np.ndim(X[0]) == 2
    return getattr(X, "ndim", 0) == 3


def is_used(estimator: Any) -> bool:
    """Tell a member from one that is left out."""
    return not (isinstance(estimator, str) and estimator == "drop")


def check_member(name: str, estimator: Any, n_features: int | None) -> None:
    """Check a member and its parameters before any work.

    Parameters
    ----------
    name : str
        For the message.
    estimator : estimator
        Not "drop".
    n_features : int or None
        Mel bands, or features, that are going to come; None where that is not known.

    Raises
    ------
    ValueError
        For what cannot score, and for values that cannot be.
    """
    can_score = hasattr(estimator, "fit") and hasattr(estimator, "score_samples")
    if isinstance(estimator, type) or not can_score:
        raise ValueError(
            f"Got {estimator!r} for the member {name!r}; pass an estimator with fit and "
            'score_samples, or "drop".'
        )
    if isinstance(estimator, BaseDetector):
        estimator.check_params(n_features)
    check_params_of(estimator)


def learning_less(estimator: Any, share: float) -> Any:
    """Get a member ready to learn as thoroughly from a share of the clips.

    Parameters
    ----------
    estimator : estimator
        Or "drop".
    share : float
        Of the clips, from 0 to 1.

    Returns
    -------
    estimator
        A clone.
    """
    if not is_used(estimator):
        return estimator
    estimator = clone(estimator)
    end = last_step(estimator)
    if isinstance(end, BaseDetector):
        end._learn_less(share)
    return estimator


class MapShapeError(ValueError):
    """Maps of members that cannot be laid over each other."""


def mean_map(maps: list[Any], weights: list[float]) -> np.ndarray | list[np.ndarray]:
    """Join the members' maps.

    Parameters
    ----------
    maps : list of ndarray (n_clips, n_mels, n_frames) or of lists of (n_mels, n_frames)
        One for each member, in one unit.
    weights : list of float
        Of the members; where all are 0, all count the same.

    Returns
    -------
    ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
        Their weighted mean.

    Raises
    ------
    MapShapeError
        Where they differ in bands or frames.

    Examples
    --------
    >>> mean_map([np.zeros((1, 1, 2)), np.ones((1, 1, 2))], [1, 3])
    array([[[0.75, 0.75]]], dtype=float32)
    """
    if not any(weights):  # those that tell where do not count for the score
        weights = [1.0] * len(weights)
    shapes = {of_member[0].shape for of_member in maps}
    if len(shapes) > 1:
        raise MapShapeError(
            f"The members' maps are of the shapes {sorted(shapes)}; give their front ends the "
            "same n_mels and hop_length."
        )
    joined = [
        np.average(of_clip, axis=0, weights=weights).astype(np.float32)
        for of_clip in zip(*maps, strict=True)
    ]
    return joined if len({each.shape for each in joined}) > 1 else np.stack(joined)
