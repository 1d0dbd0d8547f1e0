"""Altered copies of the training clips, for any pipeline."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from sklasd.base import BaseDetector
from sklasd.base._clip_table import FitInput, read_fit_input
from sklasd.base._decision import decision_of
from sklasd.base._fit_with import check_params_of, fit_with
from sklasd.base._meta_detector import MetaDetector
from sklasd.base._unwrap import call_detector, clip_format, detector_of
from sklasd.clips._waveforms import list_clips, with_sounds
from sklasd.features._altered_clips import Augmentation, Range, alter_clips, check_range
from sklasd.utils._metadata import check_exposed, check_metadata, check_normal

# The effects, in the units of their ranges.
_UNITS = {"pitch_shift": "semitones", "time_stretch": "rates", "gain": "dB", "snr": "dB"}


class Augmented(MetaDetector):
    r"""Train a pipeline on altered copies of its clips as well.

    A copy is its clip after a change of tempo, of pitch and of level, and with noise,

    .. math:: x' = 10^{g/20} \, \operatorname{shift}_s(\operatorname{stretch}_r(x)) + n

    in this order, as far as they are switched on. Each amount is drawn from its range, with equal
    probability. Only `fit` makes copies, of normal and of exposed clips, with the label, section,
    domain and group of the clip. Recorded clips alone set the threshold, and a fold trains on a
    copy only if it trains on its clip.

    Parameters
    ----------
    estimator : estimator
        A pipeline that begins with a front end, such as `LogMel`, and ends in a detector. Put a
        search around `Augmented`, not inside. A front end of your own needs an attribute
        `clip_format`, a `sklasd.clips.ClipFormat`, which says how it reads clips.
    copies : int, default=2
        Copies of each clip. With 0 in a search, you see whether copies help.
    pitch_shift : (float, float), default=(-1.0, 1.0)
        Least and greatest shift in semitones, at the same tempo. None switches it off.
    time_stretch : (float, float), default=(0.9, 1.1)
        Least and greatest rate, at the same pitch; 2 is twice as fast. Copies that become longer
        are cut, those that become shorter repeat their beginning. None switches it off.
    gain : (float, float), default=None
        Least and greatest gain in dB. None switches it off.
    snr : (float, float), default=None
        Least and greatest ratio of clip and added white noise in dB. None switches it off.
    random_state : int, RandomState instance or None, default=None
        Seed of the copies, not of the estimator. The copies of a clip depend on this seed and on
        the clip's sound, but not on other clips or on `n_jobs`.
    n_jobs : int, default=None
        Number of clips altered in parallel; None means 1, -1 all cores.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of copies, for the folds of a search and for later fits. It needs a `random_state`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted pipeline, which scores and decides.
    n_copies_ : int
        Number of copies that it was trained on.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.

    See Also
    --------
    GroupedDetector : A model for each machine.

    Notes
    -----
    [1]_ makes two copies of each clip, one by each effect, and gives no range. Here every copy has
    all effects that are on. Choose ranges in which the machine still sounds normal: a pitch that
    varies by a semitone teaches the detector that a speed off by 6 % is normal.

    librosa's phase vocoder changes pitch and tempo, and leaves traces: by quantiles of their bands,
    clips shifted by 1e-6 semitones differ from recorded clips with an AUC of 1.00, those with a
    gain of up to 3 dB with 0.54. On the same six synthetic machines the AUC of faults was 0.882
    without copies and 0.886 with the defaults, so check whether copies help you
    (``python benchmarks/bench_augmented.py``).

    Silent clips have no copies. The detector's `calibration` splits the recorded clips into the
    same folds as without copies. It does not leave out single clips in closed form, as their copies
    would stay in. Steps before the detector that learn, such as a scaler, learn from all clips.

    References
    ----------
    .. [1] ITMO University, "Unsupervised detection of anomalous sounds based on autoencoders and
       outlier exposure", DCASE Challenge, Technical report, 2022.

    Examples
    --------
    >>> from sklasd import Augmented, LogMel, StatisticsDetector, make_pipeline
    >>> from sklasd.datasets import make_machine_clips
    >>> waves, table = make_machine_clips("pump", n_train=15, duration=1.0, random_state=0)
    >>> pipeline = make_pipeline(LogMel(), StatisticsDetector())
    >>> augmented = Augmented(
    ...     pipeline, copies=1, pitch_shift=None, time_stretch=None, snr=(20, 40), random_state=0
    ... )
    >>> augmented.fit(waves[:15]).n_copies_, len(augmented.calibration_scores_)
    (15, 15)
    >>> augmented.predict(waves[-1:])  # a fault
    array([-1])
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "score_samples"])],
        "copies": [Interval(Integral, 0, None, closed="left")],
        **{name: [tuple, list, None] for name in _UNITS},
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "memory": [str, HasMethods(["cache"]), None],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        copies: int = 2,
        pitch_shift: Range = (-1.0, 1.0),
        time_stretch: Range = (0.9, 1.1),
        gain: Range = None,
        snr: Range = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        memory: Any = None,
    ) -> None:
        self.estimator = estimator
        self.copies = copies
        self.pitch_shift = pitch_shift
        self.time_stretch = time_stretch
        self.gain = gain
        self.snr = snr
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.memory = memory

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, and those of the pipeline, before any clip is read.

        Parameters
        ----------
        n_features : ignored
            Present for the convention.

        Raises
        ------
        ValueError
            For invalid values, or values that contradict each other.
        """
        self._validate_params()
        # The end first: of a wrong one, parameters and format may say nothing.
        _check_end(self.estimator)
        check_params_of(self.estimator)
        clip_format(self.estimator)  # raises an error where front ends disagree
        ranges = {name: getattr(self, name) for name in _UNITS}
        for name, given in ranges.items():
            check_range(name, given, _UNITS[name], above=0 if name == "time_stretch" else None)
        if self.copies and all(given is None for given in ranges.values()):
            raise ValueError(
                f"Got None for {', '.join(_UNITS)}, so that copies would equal their clips; pass a "
                "range for one of them, or copies=0."
            )

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        exposed: Any = None,
        section: Any = None,
        domain: Any = None,
        groups: Any = None,
    ) -> Self:
        """Make copies, and fit the pipeline to clips and copies.

        Parameters
        ----------
        X : list of paths, clip table, array (n_clips, n_samples) or list of 1-D arrays
            The clips.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous. Anomalous clips get no copies; None takes all clips for normal.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of other machines, which a detector may use as outliers. None reads the column
            `exposed` of a clip table, if it has one.
        section, domain, groups : array-like of shape (n_clips,), default=None
            As the detector's own `fit` takes them.

        Returns
        -------
        self : Augmented
            Fitted.

        Raises
        ------
        ValueError
            For bad parameters, labels, metadata or clips, before training starts.
        """
        self.check_params()
        given = read_fit_input(X, y, exposed=exposed, section=section, domain=domain, groups=groups)
        with given.naming_clips():
            self._fit(list_clips(given.X), given)
        return self

    def _fit(self, sources: list[Any], given: FitInput) -> None:
        """Fit the pipeline to clips and copies, with the metadata of both."""
        metadata: dict[str, Any] = {
            name: check_metadata(name, values, len(sources))
            for name, values in given.metadata.items()
        }
        # Anomalous clips teach nothing, so copies of them would not either.
        outliers = check_exposed(metadata.get("exposed"), len(sources))
        learnt = np.flatnonzero(check_normal(given.y, outliers) | outliers)
        copies = self._make_copies([sources[clip] for clip in learnt])
        # Silent clips have none: the numbers of copies differ.
        original = np.repeat(learnt, [len(of_clip) for of_clip in copies])
        # Recorded clips first, so that positions of clips in messages stay those of the user.
        rows = np.concatenate([np.arange(len(sources)), original])
        self.estimator_ = fit_with(
            clone(self.estimator),
            with_sounds(given.X, rows, sources + [copy for of_clip in copies for copy in of_clip]),
            None if given.y is None else np.asarray(given.y)[rows],
            # The detector keeps copies out of folds without their clip, and out of thresholds.
            copy_of=np.concatenate([np.full(len(sources), -1), original]),
            **{name: values[rows] for name, values in metadata.items()},
        )
        self.n_copies_ = len(original)

    def _make_copies(self, sources: list[Any]) -> list[list[np.ndarray]]:
        """Alter clips, which are read as the front end reads them."""
        ranges = {name: getattr(self, name) for name in _UNITS}
        return alter_clips(
            sources,
            clip_format(self.estimator),
            [Augmentation(**ranges)] * self.copies,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            memory=self.memory,
        )

    @property
    def calibration_scores_(self) -> np.ndarray:
        """Scores of the normal clips that set the threshold, shape (n_calibration_clips,)."""
        check_is_fitted(self, "estimator_")
        return decision_of(detector_of(self)).calibration_scores

    @property
    def offset_(self) -> float:
        """Threshold: clips that score below it are anomalous."""
        check_is_fitted(self, "estimator_")
        return decision_of(detector_of(self)).offset

    def inner_estimators(self) -> list[Any]:
        """Return the fitted pipeline, or before `fit` the one that `fit` will clone."""
        return [vars(self).get("estimator_", self.estimator)]

    def _call(self, method: str, X: Any, *args: Any, section: Any = None) -> Any:
        check_is_fitted(self, "estimator_")
        return call_detector(self.estimator_, method, X, *args, section=section)


def _check_end(estimator: Any) -> None:
    """Refuse estimators that would take copies for recordings: searches, and other packages'."""
    # Not `detector_of`, which looks into searches: they are refused here.
    end = estimator
    while isinstance(end, Pipeline):
        end = end[-1]
    if not isinstance(end, BaseDetector):
        raise ValueError(
            f"Got an estimator that ends in {end!r}, which would take copies for recordings and "
            "set thresholds by them; pass a pipeline that ends in a detector of sklasd. Put a "
            "search around Augmented, and another estimator with score_samples into a "
            "FusionDetector or StatisticsDetector(backend=...)."
        )
