"""Choosing between detectors where nobody has recorded a fault."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import _num_samples

from sklasd.base._backend import clip_format
from sklasd.clips._waveforms import list_clips, with_sounds
from sklasd.features._altered_clips import (
    ImpactFault,
    NoiseFault,
    PitchFault,
    Range,
    alter_clips,
    check_range,
)
from sklasd.metrics._official_scores import auc_score
from sklasd.utils._validation import check_exposed, check_normal

_FAULTS: dict[str, Any] = {
    "pitch_shift": PitchFault, "noise": NoiseFault, "impacts": ImpactFault
}  # fmt: skip


def simulated_outlier_scorer(
    *,
    pitch_shift: Range = (1.0, 3.0),
    noise: Range = (0.0, 10.0),
    impacts: Range = (0.0, 10.0),
    random_state: int = 0,
    n_jobs: int | None = None,
    memory: Any = None,
) -> SimulatedOutlierScorer:
    """Make a scorer that needs no anomalous clip: it makes some of the normal ones.

    Of each held-out normal clip three outliers are made: one at another pitch, one with noise of a
    random octave, one with regular impacts that ring. The score is the AUC of the clips against
    their outliers.

    Parameters
    ----------
    pitch_shift : (float, float), default=(1.0, 3.0)
        Least and greatest shift in semitones, up or down. None makes no such outliers.
    noise : (float, float), default=(0.0, 10.0)
        Least and greatest ratio of clip and added noise in dB. None makes no such outliers.
    impacts : (float, float), default=(0.0, 10.0)
        Least and greatest ratio of clip and added impacts in dB. None makes no such outliers.
    random_state : int, default=0
        Seed. Every candidate of a search is scored on the same outliers.
    n_jobs : int, default=None
        Clips that are altered at once; None is 1, -1 all cores.
    memory : str or object with the joblib.Memory interface, default=None
        Where outliers are kept: without it they are made again for each candidate.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``, to be passed as `scoring` to `GridSearchCV` and the like.
        The estimator begins with a front end such as `LogMel`. Clips labelled -1, and those that
        the column `exposed` of a clip table says are another machine's, are left out.

    Raises
    ------
    ValueError
        For bad ranges. When called: where there is no front end, or no normal clip that sounds.

    See Also
    --------
    dcase_scorer : The official score, for labelled clips.
    sklasd.GroupedDetector : A search for each machine.

    Notes
    -----
    What it can tell: which of several detectors hears small changes of these three kinds in this
    machine's sound, above how much its normal clips differ. What it cannot tell: how many faults of
    the machine will be found. A fault may sound like none of the three; compare scores with each
    other, and report none of them as a figure of merit. Where all candidates score near 1, the
    outliers are too easy: raise the ratios, or lower the shifts.

    All clips are pooled: pass clips of one machine, as a `GroupedDetector` around a search does.

    Labelled faults, if there are any, are worth more: use them in place of this.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklasd import LogMel, StatisticsDetector, make_pipeline
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.metrics import simulated_outlier_scorer
    >>> from sklasd.model_selection import NormalOnlySplit
    >>> waves, _ = make_machine_clips("fan", n_train=16, duration=1.0, random_state=0)
    >>> search = GridSearchCV(
    ...     make_pipeline(LogMel(), StatisticsDetector(calibration=None)),
    ...     {"statisticsdetector__statistics": ["quantiles", "shape"]},
    ...     scoring=simulated_outlier_scorer(pitch_shift=None),
    ...     cv=NormalOnlySplit(2, anomalies="none"),
    ... )
    >>> search.fit(waves[:16]).best_score_ > 0.6
    np.True_
    """
    ranges = {"pitch_shift": pitch_shift, "noise": noise, "impacts": impacts}
    for name, given in ranges.items():
        is_pitch = name == "pitch_shift"
        check_range(name, given, "semitones" if is_pitch else "dB", above=0 if is_pitch else None)
    if all(given is None for given in ranges.values()):
        raise ValueError(f"Got None for {', '.join(ranges)}; pass a range for one of them.")
    return SimulatedOutlierScorer(**ranges, random_state=random_state, n_jobs=n_jobs, memory=memory)


class SimulatedOutlierScorer(BaseEstimator):
    """What `simulated_outlier_scorer` returns.

    An estimator in name only: this gives it `clone` and `repr`.
    """

    # Metadata routing takes every argument of `score` after `self` for metadata but X and y.
    __metadata_request__score: ClassVar = {"estimator": UNUSED}

    def __init__(
        self,
        pitch_shift: Range,
        noise: Range,
        impacts: Range,
        random_state: int,
        n_jobs: int | None,
        memory: Any,
    ) -> None:
        self.pitch_shift = pitch_shift
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
        original = np.repeat(normal, [len(of_clip) for of_clip in outliers])
        if not original.size:
            raise ValueError(
                f"Got {len(normal)} normal clips, of which no outlier can be made: they are silent "
                "or cannot be read; look at these recordings."
            )
        respond = getattr(estimator, "score_samples", None) or estimator.decision_function
        waves = [wave for of_clip in outliers for wave in of_clip]
        scores = [
            respond(with_sounds(X, normal, sources)),
            respond(with_sounds(X, original, waves)),
        ]
        return auc_score(np.repeat([1, -1], list(map(len, scores))), np.concatenate(scores))

    def _make_outliers(self, estimator: Any, sources: list[Any]) -> list[list[np.ndarray]]:
        ranges = {name: getattr(self, name) for name in _FAULTS}
        return alter_clips(
            sources,
            clip_format(estimator),
            [_FAULTS[name](given) for name, given in ranges.items() if given is not None],
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            memory=self.memory,
        )
