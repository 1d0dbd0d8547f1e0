"""Rules that turn the anomaly scores of several detectors into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sklasd.scores import TINY

_TAIL = 0.1  # share of the held-out scores that the tail of p-values is learnt from
_FEWEST_IN_TAIL = 3


def surprise(distances: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    r"""Minus the logarithm of p-values among held-out scores.

    Up to the greatest tenth of the held-out scores, p is the share that lies at least as high,
    counting the clip itself. In that tail an empirical p has few steps, and beyond it none: there
    an exponential law with the same mean excess replaces it. Where the tail has no excess, as among
    ties, the mean excess is the standard deviation of all held-out scores; where these are all
    equal, it is their size.

    `distances` (n_clips,) are anomaly scores of a detector, `held_out` those of normal clips that
    it was not trained on. Returns :math:`-\log p`, (n_clips,), never negative.

    Examples
    --------
    >>> surprise(np.array([0.0, 5.0, 19.0]), held_out=np.arange(20.0)).round(3)
    array([0.   , 0.272, 3.158])
    """
    ordered, n = np.sort(held_out), len(held_out)
    n_tail = min(max(int(_TAIL * n), _FEWEST_IN_TAIL), n - 1)
    tail = ordered[-n_tail - 1 :]
    edge, scale = tail[0], _scale_of_tail(tail, held_out)
    n_at_least = n - np.searchsorted(ordered, distances, side="left")
    inside = np.log((n + 1) / (1 + n_at_least))
    beyond = np.log((n + 1) / (1 + n_tail)) + (distances - edge) / scale
    return np.where(distances > edge, beyond, inside)


def _scale_of_tail(tail: np.ndarray, held_out: np.ndarray) -> float:
    """Return the mean excess of a tail over its edge, which is its first value."""
    excess = np.sum(tail - tail[0]) / max(len(tail) - 1, 1)
    if excess > 0:
        return excess
    return held_out.std() if np.ptp(held_out) > 0 else abs(tail[0]) or 1.0


class HeldOut(NamedTuple):
    """Anomaly scores that the members of a fusion give to held-out normal clips."""

    distances: np.ndarray  # (n_held_out, n_members)
    weights: np.ndarray  # (n_members,), their sum is 1


def _standardise(distances: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    return (distances - held_out.mean(axis=0)) / held_out.std(axis=0)


def _weigh(values: np.ndarray, held_out: HeldOut) -> np.ndarray:
    # A matrix product would sum in another order for another number of clips.
    return (values * held_out.weights).sum(axis=1)


def _by_log(distances: np.ndarray, held_out: HeldOut) -> np.ndarray:
    # No score is below the least held-out one: the score of a copy of a training clip is 0, whose
    # logarithm would outweigh all other members.
    floor = np.maximum(held_out.distances.min(axis=0), TINY)
    logs = (np.log(np.maximum(d, floor)) for d in (distances, held_out.distances))
    return _weigh(_standardise(*logs), held_out)


def _by_fisher(distances: np.ndarray, held_out: HeldOut) -> np.ndarray:
    columns = zip(distances.T, held_out.distances.T, strict=True)
    return _weigh(np.column_stack([surprise(*pair) for pair in columns]), held_out)


def _by_zscore(distances: np.ndarray, held_out: HeldOut) -> np.ndarray:
    return _weigh(_standardise(distances, held_out.distances), held_out)


def _by_rank(distances: np.ndarray, held_out: HeldOut) -> np.ndarray:
    columns = zip(distances.T, np.sort(held_out.distances, axis=0).T, strict=True)
    ranks = [np.searchsorted(ordered, d, side="right") / len(ordered) for d, ordered in columns]
    return _weigh(np.column_stack(ranks), held_out)


def _by_max(distances: np.ndarray, held_out: HeldOut) -> np.ndarray:
    return _standardise(distances, held_out.distances).max(axis=1)


def _by_min(distances: np.ndarray, held_out: HeldOut) -> np.ndarray:
    return _standardise(distances, held_out.distances).min(axis=1)


FUSIONS: dict[str, Callable[[np.ndarray, HeldOut], np.ndarray]] = {
    "log": _by_log,
    "fisher": _by_fisher,
    "zscore": _by_zscore,
    "rank": _by_rank,
    "max": _by_max,
    "min": _by_min,
}
UNWEIGHTED = {"max", "min"}
