"""A scorer that chooses between detectors without a recorded fault."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import _num_samples

from sklasd.base._unwrap import clip_format
from sklasd.clips._waveforms import list_clips, with_sounds
from sklasd.features._altered_clips import (
    AddedSound,
    Range,
    alter_clips,
    check_range,
)
from sklasd.metrics._official_scores import auc_score
from sklasd.utils._metadata import check_exposed, check_normal


def simulated_outlier_scorer(
    *,
    noise: Range = (10.0, 20.0),
    impacts: Range = (10.0, 20.0),
    random_state: int = 0,
    n_jobs: int | None = None,
    memory: Any = None,
) -> SimulatedOutlierScorer:
    """Make a scorer that needs no anomalous clip: it makes some of the normal ones.

    Each held-out normal clip becomes two outliers: one with noise of a random octave, like that of
    a leak or of rubbing parts, and one with 5 to 50 regular impacts per second that ring at a
    random resonance, like those of a damaged bearing or tooth. The score is the AUC of the clips
    against their outliers.

    Parameters
    ----------
    noise : (float, float), default=(10.0, 20.0)
        Lowest and highest ratio of clip and added noise in dB. None makes no such outliers.
    impacts : (float, float), default=(10.0, 20.0)
        Lowest and highest ratio of clip and added impacts in dB. None makes no such outliers.
    random_state : int, default=0
        Seed. Every candidate of a search is scored on the same outliers.
    n_jobs : int, default=None
        Number of clips that are altered at once; None is 1, -1 all cores.
    memory : str or object with the joblib.Memory interface, default=None
        Cache for outliers. Without it they are made again for each candidate.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``, to be passed as `scoring` to `GridSearchCV` and the like.
        The estimator begins with a front end such as `LogMel`. Clips labelled -1 are left out, and
        so are other machines' clips, which the column `exposed` of a clip table marks.

    Raises
    ------
    ValueError
        For bad ranges. When called: without a front end, or if all normal clips are silent.

    See Also
    --------
    dcase_scorer : The official score, for labelled clips.
    sklasd.GroupedDetector : A search for each machine.

    Notes
    -----
    The score tells which of several detectors best finds a sound that was added to those of this
    machine, beyond the differences between its normal clips. It does not tell how many faults of
    the machine will be found: a fault may add nothing, but remove a sound or change a rhythm.
    Compare scores with each other, and report none of them as a figure of merit. Where all
    candidates score near 1, the outliers are too easy: raise the ratios.

    On 12 synthetic machines it chose among five kinds of statistics. Its choices found faults with
    a mean AUC of 0.86; the best of each machine reached 0.90, and a choice by chance 0.79
    (``python benchmarks/bench_selection.py``).

    Sounds are added, and no clip is shifted in pitch or tempo, because shifting leaves traces that
    detectors find. Quantiles told clips that were shifted by nothing at all (1e-6 semitones) from
    the recorded clips with an AUC of 1.00 (``python benchmarks/bench_augmented.py``).

    Detectors that are slow to train are best searched with ``calibration=None``, and calibrated
    when the best one is fitted again.

    All clips are pooled: pass clips of one machine, as a `GroupedDetector` around a search does.

    If there are labelled faults, use them instead: they are worth more.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklasd import LogMel, StatisticsDetector, make_pipeline
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.metrics import simulated_outlier_scorer
    >>> from sklasd.model_selection import NormalOnlySplit
    >>> waves, _ = make_machine_clips("fan", n_train=16, duration=1.0, random_state=0)
    >>> search = GridSearchCV(
    ...     make_pipeline(LogMel(), StatisticsDetector(threshold="quantile", calibration=None)),
    ...     {"statisticsdetector__statistics": ["quantiles", "shape"]},
    ...     scoring=simulated_outlier_scorer(),
    ...     cv=NormalOnlySplit(2, anomalies="none"),
    ... )
    >>> search.fit(waves[:16]).best_score_ > 0.6
    np.True_
    """
    ranges = {"noise": noise, "impacts": impacts}
    for name, given in ranges.items():
        check_range(name, given, "dB")
    if all(given is None for given in ranges.values()):
        raise ValueError("Got None for noise and impacts; pass a range for one of them.")
    return SimulatedOutlierScorer(**ranges, random_state=random_state, n_jobs=n_jobs, memory=memory)


class SimulatedOutlierScorer(BaseEstimator):
    """Scorer by simulated outliers, made by `simulated_outlier_scorer`.

    It is an estimator for the sake of `clone` and `repr` only.
    """

    # Metadata routing takes every argument of `score` after `self` for metadata but X and y.
    __metadata_request__score: ClassVar = {"estimator": UNUSED}

    def __init__(
        self,
        noise: Range,
        impacts: Range,
        random_state: int,
        n_jobs: int | None,
        memory: Any,
    ) -> None:
        self.noise = noise
        self.impacts = impacts
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.memory = memory

    def __call__(self, estimator: Any, X: Any, y: ArrayLike | None = None) -> float:
        return self.score(estimator, X, y)

    def score(self, estimator: Any, X: Any, y: ArrayLike | None = None) -> float:
        """Score an estimator on clips, see `simulated_outlier_scorer`."""
        exposed = X.get("exposed") if hasattr(X, "columns") else None
        normal = np.flatnonzero(check_normal(y, check_exposed(exposed, _num_samples(X))))
        clips = list_clips(X)
        sources = [clips[clip] for clip in normal]
        outliers = self._make_outliers(estimator, sources)
        # Which clip each outlier was made of: a silent clip has none.
        original = np.repeat(normal, [len(of_clip) for of_clip in outliers])
        if not original.size:
            raise ValueError(
                f"Got {len(normal)} normal clips, but no outlier can be made of them: they are "
                "silent or cannot be read; look at these recordings."
            )
        # Some detectors have only a decision_function.
        respond = getattr(estimator, "score_samples", None) or estimator.decision_function
        waves = [wave for of_clip in outliers for wave in of_clip]
        scores = [
            respond(with_sounds(X, normal, sources)),
            respond(with_sounds(X, original, waves)),
        ]
        return auc_score(np.repeat([1, -1], list(map(len, scores))), np.concatenate(scores))

    def _make_outliers(self, estimator: Any, sources: list[Any]) -> list[list[np.ndarray]]:
        ranges = {"noise": self.noise, "impacts": self.impacts}
        return alter_clips(
            sources,
            clip_format(estimator),
            [AddedSound(kind, snr) for kind, snr in ranges.items() if snr is not None],
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            memory=self.memory,
        )
