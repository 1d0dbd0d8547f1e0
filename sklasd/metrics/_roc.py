"""Areas under the ROC curve for one set of clips and for many resamplings of it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# The share of false alarms up to which DCASE takes the partial area.
MAX_FPR = 0.1

# Clips times draws in one pass of the bootstrap: arrays of 0.5 MB stay in the processor's cache.
_CHUNK = 2**16


@dataclass(frozen=True)
class Draws:
    """Counts of each clip, one row per draw: all ones for the clips as they are."""

    # (n_draws, n_normal) of each domain, clips in ascending order of their anomaly score.
    normal: tuple[FloatArray, ...]
    # (n_draws, n_anomalous), stratum after stratum, in ascending order within each.
    anomalous: FloatArray


class RankedClips:
    """Anomalous clips, ranked among the normal clips of each domain.

    The order of the clips is all that an area under the ROC curve needs, and a resampling of
    the clips does not change it. So the clips are sorted once, and the areas of every draw
    follow from cumulative sums of its counts: with ``c`` the counts of the sorted normal clips,
    an anomalous clip ``a`` has ``below(a) = sum(c[:i])`` normal clips under it and
    ``reached(a) = sum(c[:j])`` under or level with it, where `i` and `j` are its ranks.

    Parameters
    ----------
    normal : mapping of str to ndarray
        Anomaly scores of the normal clips by domain; one entry where there are no domains.
    anomalous : sequence of ndarray
        Anomaly scores of the anomalous clips, one array per stratum that is resampled by itself.
    """

    def __init__(self, normal: Mapping[str, FloatArray], anomalous: Sequence[FloatArray]) -> None:
        # Sorted as well, so that the draws do not depend on the order of the clips.
        scores = np.concatenate([np.sort(values) for values in anomalous])
        ordered = [np.sort(values) for values in normal.values()]
        self.domains = tuple(normal)
        self.n_normal = tuple(len(values) for values in ordered)
        self.n_anomalous = tuple(len(values) for values in anomalous)
        self._lower = [np.searchsorted(values, scores, side="left") for values in ordered]
        self._upper = [np.searchsorted(values, scores, side="right") for values in ordered]

    def observed(self) -> dict[str, FloatArray]:
        """Return the areas of the clips as they are, each of shape (1,)."""
        return self.areas(self._once())

    def bootstrap(self, n_draws: int, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Return areas of clips drawn with replacement in each stratum, each (n_draws,)."""
        # In blocks of draws: all at once would be slow, and gigabytes for large test sets.
        n_clips = sum(self.n_normal) + sum(self.n_anomalous)
        step = max(1, _CHUNK // n_clips)
        parts = []
        for start in range(0, n_draws, step):
            size = min(step, n_draws - start)
            normal = tuple(_resample(n, size, rng) for n in self.n_normal)
            anomalous = np.hstack([_resample(n, size, rng) for n in self.n_anomalous])
            parts.append(self.areas(Draws(normal, anomalous)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def areas(self, draws: Draws) -> dict[str, FloatArray]:
        """Return AUC and pAUC against all normal clips, and the AUC against each domain's."""
        result = {}
        under = [self._count_under(k, counts) for k, counts in enumerate(draws.normal)]
        if len(self.domains) > 1:
            for domain, n_normal, (below, reached) in zip(
                self.domains, self.n_normal, under, strict=True
            ):
                result[f"auc_{domain}"] = _area(below, reached, draws.anomalous, n_normal)
        # Counts under an anomalous clip add up over the domains: no need to rank the union.
        below, reached = (sum(parts[1:], start=parts[0]) for parts in zip(*under, strict=True))
        pooled = below, reached, draws.anomalous, sum(self.n_normal)
        result["auc"] = _area(*pooled)
        result["pauc"] = standardize(_area(*pooled, max_fpr=MAX_FPR), MAX_FPR)
        return result

    def partial_area(self, max_fpr: float) -> FloatArray:
        """Return the area up to `max_fpr` of the clips as they are, not standardised: (1,)."""
        once = self._once()
        below, reached = self._count_under(0, once.normal[0])
        return _area(below, reached, once.anomalous, self.n_normal[0], max_fpr=max_fpr)

    def _once(self) -> Draws:
        normal = tuple(np.ones((1, n)) for n in self.n_normal)
        return Draws(normal, np.ones((1, sum(self.n_anomalous))))

    def _count_under(self, k: int, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Count the normal clips of domain `k` below, and up to, each anomalous clip."""
        cumulative = np.zeros((len(counts), counts.shape[1] + 1))
        np.cumsum(counts, axis=1, out=cumulative[:, 1:])
        # (n_draws, n_normal + 1) -> (n_draws, n_anomalous)
        return cumulative.take(self._lower[k], axis=1), cumulative.take(self._upper[k], axis=1)


def standardize(area: FloatArray, max_fpr: float) -> FloatArray:
    """Scale a partial area as McClish does: 0.5 for chance and 1 for a perfect ranking."""
    chance = max_fpr**2 / 2
    return 0.5 * (1 + (area - chance) / (max_fpr - chance))


def _area(
    below: FloatArray,
    reached: FloatArray,
    anomalous: FloatArray,
    n_normal: int,
    *,
    max_fpr: float = 1.0,
) -> FloatArray:
    """Return the area under the ROC curve from no false alarm to the share `max_fpr` of them.

    An anomalous clip lifts the curve by one step at the share of normal clips above it. A tie
    spreads the step over the tied normal clips, as a straight line.
    Counted from the right, only what lies beyond ``(1 - max_fpr) * n_normal`` clips enters.
    """
    height = reached + below
    if max_fpr < 1:
        cut = (1 - max_fpr) * n_normal
        outer = np.maximum(reached - cut, 0)
        height = outer + np.maximum(below - cut, 0)
        # Where the limit falls among tied clips, the line has not yet risen to a full step.
        tied = reached - below
        partly = outer < tied
        height[partly] *= outer[partly] / tied[partly]
    return np.einsum("ij,ij->i", height, anomalous) / (2 * n_normal * anomalous.sum(axis=1))


def _resample(n: int, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Count how often each of `n` clips comes up when `n` are drawn with replacement."""
    if n == 0:
        return np.zeros((n_draws, 0))
    picks = rng.integers(n, size=(n_draws, n))
    # Numbers of their own for each draw, so that one bincount serves all.
    picks += n * np.arange(n_draws)[:, np.newaxis]
    counts = np.bincount(picks.ravel(), minlength=n_draws * n).reshape(n_draws, n)
    return counts.astype(np.float64)
