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

_UNITS = {"pitch_shift": "semitones", "time_stretch": "rates", "gain": "dB", "snr": "dB"}


class Augmented(MetaDetector):
    r"""Train a pipeline on altered copies of its clips, too.

    A copy is its clip after a change of tempo, of pitch and of level, and with noise,

    .. math:: x' = 10^{g/20} \, \operatorname{shift}_s(\operatorname{stretch}_r(x)) + n

    in this order, as far as they are switched on; each amount is drawn anew from its range, with
    equal chance. There are copies in `fit` only, of normal and of exposed clips. They have their
    clip's label, section, domain and group. The threshold is set by clips as they were recorded:
    a copy is learnt from only where its clip is, so that neither is known where the other is
    scored.

    Parameters
    ----------
    estimator : estimator
        A pipeline that begins with a front end, such as `LogMel`, and ends in a detector. A search
        goes around all this, not inside. A front end of your own tells by an attribute
        `clip_format`, a `sklasd.clips.ClipFormat`, how it reads clips.
    copies : int, default=2
        Copies of each clip. 0 is none, so that a search can tell what copies are worth.
    pitch_shift : (float, float), default=(-1.0, 1.0)
        Least and greatest shift in semitones, at the same tempo. None is off.
    time_stretch : (float, float), default=(0.9, 1.1)
        Least and greatest rate, at the same pitch; 2 is twice as fast. What is left over is cut
        off; what is missing is the beginning again. None is off.
    gain : (float, float), default=None
        Least and greatest gain in dB. None is off.
    snr : (float, float), default=None
        Least and greatest ratio of clip and added white noise in dB. None is off.
    random_state : int, RandomState instance or None, default=None
        Seed of the copies, not of the estimator. The copies of a clip depend on it and on the sound
        of the clip, not on other clips or on `n_jobs`.
    n_jobs : int, default=None
        Clips that are altered at once; None is 1, -1 all cores.
    memory : str or object with the joblib.Memory interface, default=None
        Where copies are kept, so that the folds of a search and later fits find them. They are
        found by the clip, the ranges and `random_state`; with None for a seed nothing is kept.

    Attributes
    ----------
    estimator_ : estimator
        The fitted pipeline, which scores and decides.
    n_copies_ : int
        How many copies it was trained on.
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
    all effects that are on. Take ranges in which the machine still sounds normal to you: a pitch
    that varies by a semitone tells the detector that a speed off by 6 % is normal.

    Pitch and tempo are changed by librosa's phase vocoder, which leaves traces: clips shifted by
    nothing at all (1e-6 semitones) were told from clips as recorded with an AUC of 1.00, by
    quantiles of their bands, where a gain of up to 3 dB had 0.54. On the same six synthetic
    machines the AUC of faults was 0.882 without copies and 0.886 with the defaults, so try what
    copies are worth to you (``python benchmarks/bench_augmented.py``).

    Silent clips have no copies. The detector's own `calibration` deals its folds of the recorded
    clips, as it would without copies; closed forms that leave out one clip are not used, as they
    would leave its copies in. Steps before the detector that learn, such as a scaler, learn from
    all clips.

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
            For values that cannot be, or that do not go together.
        """
        self._validate_params()
        _check_end(self.estimator)
        check_params_of(self.estimator)
        clip_format(self.estimator)
        ranges = {name: getattr(self, name) for name in _UNITS}
        for name, given in ranges.items():
            check_range(name, given, _UNITS[name], above=0 if name == "time_stretch" else None)
        if self.copies and all(given is None for given in ranges.values()):
            raise ValueError(
                f"Got None for {', '.join(_UNITS)}, so that copies would be their clips; pass a "
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
            +1 normal, -1 anomalous. Of anomalous clips no copies are made; None takes all for
            normal.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of other machines, which a detector may use as outliers. None reads the column
            `exposed` of a clip table, if there is one.
        section, domain, groups : array-like of shape (n_clips,), default=None
            What the detector is told of each clip, as its own `fit` says.

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
        metadata: dict[str, Any] = {
            k: check_metadata(k, v, len(sources)) for k, v in given.metadata.items()
        }
        outliers = check_exposed(metadata.get("exposed"), len(sources))
        learnt = np.flatnonzero(check_normal(given.y, outliers) | outliers)
        copies = self._make_copies([sources[clip] for clip in learnt])
        original = np.repeat(learnt, [len(of_clip) for of_clip in copies])
        rows = np.concatenate([np.arange(len(sources)), original])
        self.estimator_ = fit_with(
            clone(self.estimator),
            with_sounds(given.X, rows, sources + [copy for of_clip in copies for copy in of_clip]),
            None if given.y is None else np.asarray(given.y)[rows],
            copy_of=np.concatenate([np.full(len(sources), -1), original]),
            **{name: values[rows] for name, values in metadata.items()},
        )
        self.n_copies_ = len(original)

    def _make_copies(self, sources: list[Any]) -> list[list[np.ndarray]]:
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
        """Return the fitted pipeline, or before `fit` the one that is going to be cloned."""
        return [vars(self).get("estimator_", self.estimator)]

    def _call(self, method: str, X: Any, *args: Any, section: Any = None) -> Any:
        check_is_fitted(self, "estimator_")
        return call_detector(self.estimator_, method, X, *args, section=section)


def _check_end(estimator: Any) -> None:
    """Refuse what would take copies for clips: a search that splits them, another's threshold."""
    end = estimator
    while isinstance(end, Pipeline):
        end = end[-1]
    if not isinstance(end, BaseDetector):
        raise ValueError(
            f"Got an estimator that ends in {end!r}, which would take copies for recordings and "
            "set thresholds by them; pass a pipeline that ends in a detector of sklasd. A search "
            "goes around Augmented, and any estimator with score_samples into a FusionDetector or "
            "StatisticsDetector(backend=...)."
        )
