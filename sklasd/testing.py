"""The conformance suite for detectors.

scikit-learn's own suite runs nothing on estimators that take 3-D input only: green and empty. Here
it runs for real, on an adapter that lifts its 2-D data to spectrograms, together with the checks
that make a detector one of this project's. Detectors on embeddings need no adapter.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import joblib
import numpy as np
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import _num_samples, validate_data

from sklasd.base import BaseDetector, NetDetector
from sklasd.clips._spectrograms import Spectrograms
from sklasd.training import WindowNet

_FEWEST_SKLEARN_CHECKS = 40  # scikit-learn 1.6 runs more; fewer mean that the tags are wrong


Metadata = Callable[[int], dict[str, Any]]


def _no_metadata(n_clips: int) -> dict[str, Any]:
    return {}


class Sounds(NamedTuple):
    """Made-up spectrograms: a steady spectrum with noise, and a burst in some of them."""

    train: np.ndarray  # (n_clips, n_mels, n_frames), normal
    test: np.ndarray  # normal ones, then as many with a burst
    label: np.ndarray  # +1 and -1, of test
    burst: np.ndarray  # bool, same shape as test: where the burst is
    metadata: Metadata = _no_metadata  # what else `fit` needs, of as many clips

    def embedded(self) -> Sounds:
        """Keep the greatest value of each band over time: clips as embeddings."""
        train, test, burst = (x.max(axis=2) for x in (self.train, self.test, self.burst))
        return self._replace(train=train, test=test, burst=burst)


def _fit(detector: Any, sounds: Sounds, X: Any = None, y: Any = None, **more: Any) -> Any:
    """Fit on the training sounds, or on others, with the metadata that the detector needs."""
    X = sounds.train if X is None else X
    return detector.fit(X, y, **(sounds.metadata(len(X)) | more))


def _sections(metadata: dict[str, Any], rows: Any) -> dict[str, Any]:
    """Return what scoring needs to be told of some clips."""
    return {"section": np.asarray(metadata["section"])[rows]} if "section" in metadata else {}


@contextmanager
def _of_any_length() -> Iterator[None]:
    """Let clips be scored that are far longer or shorter than those that were learnt from."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The clips have", UserWarning)
        yield


def _takes_spectrograms(detector: BaseDetector) -> bool:
    return bool(detector.__sklearn_tags__().input_tags.three_d_array)


def make_sounds(
    n_mels: int = 32, n_frames: int = 40, n_clips: int = 24, random_state: int = 0
) -> Sounds:
    """Make spectrograms in dB with planted bursts.

    Parameters
    ----------
    n_mels, n_frames : int
        Of each clip.
    n_clips : int
        Of each kind: training, normal test, anomalous test.
    random_state : int
        Seed.

    Returns
    -------
    Sounds
        float32 arrays.

    Examples
    --------
    >>> make_sounds(n_clips=4).test.shape
    (8, 32, 40)
    """
    rng = np.random.default_rng(random_state)
    spectrum = 6 * np.sin(np.linspace(0, 3 * np.pi, n_mels))[:, None] - 40
    level = rng.normal(0, 1, (3 * n_clips, 1, 1))
    noise = rng.normal(0, 1, (3 * n_clips, n_mels, n_frames))
    clips = (spectrum + level + noise).astype(np.float32)
    train, test = clips[:n_clips], clips[n_clips:]
    burst = np.zeros(test.shape, dtype=bool)
    for clip in range(n_clips, 2 * n_clips):
        low = rng.integers(0, n_mels - n_mels // 4)
        first = rng.integers(0, n_frames - n_frames // 4)
        burst[clip, low : low + n_mels // 4, first : first + n_frames // 4] = True
    test[burst] += 15
    return Sounds(train, test, np.repeat([1, -1], n_clips), burst)


# -- scikit-learn's checks -----------------------------------------------------------------------


@cache
def on_flat_data(
    detector: Any,
    n_mels: int,
    n_frames: int,
    fit_metadata: Metadata = _no_metadata,
    takes_spectrograms: bool = True,
) -> type[BaseDetector]:
    """Make a subclass that takes what scikit-learn's checks pass, (n_clips, n_features) and y.

    Everything but the check of the input is the detector's own, so scikit-learn's checks exercise
    its code. Their y are made-up classes, where a detector knows +1 and -1 only: they are dropped.

    Parameters
    ----------
    detector : type
        The detector's class.
    n_mels, n_frames : int
        Of the spectrograms for others; the features are repeated over the bands, on top of a steady
        spectrum (a clip of one level would be silent), and held over the frames.
    fit_metadata : callable
        As in `check_detector`.
    takes_spectrograms : bool, default=True
        One on embeddings gets the features as they are.

    Returns
    -------
    type
        The subclass; it can be pickled.
    """

    class Labelless(detector):
        def fit(self, X: Any, y: Any = None) -> Any:
            return super().fit(X, **fit_metadata(_num_samples(X)))

    class Lifted(Labelless):
        def _prepare(self, X: Any, *, reset: bool) -> Spectrograms:
            X = validate_data(self, X, reset=reset, dtype=np.float32)
            bands = np.resize(np.arange(X.shape[1]), max(n_mels, X.shape[1]))[:n_mels]
            lifted = X[:, bands, None] + np.linspace(0, 1, n_mels, dtype=np.float32)[:, None]
            ripple = np.linspace(0, 0.1, n_frames, dtype=np.float32)
            return Spectrograms.stack(lifted + ripple)

        def __sklearn_tags__(self) -> Any:
            tags = super().__sklearn_tags__()
            tags.input_tags.two_d_array = True
            tags.input_tags.three_d_array = False
            return tags

    adapter: Any = Lifted if takes_spectrograms else Labelless
    name = f"{detector.__name__}On{n_mels}x{n_frames if takes_spectrograms else 1}"
    adapter.__name__ = adapter.__qualname__ = name
    adapter.__module__ = __name__
    globals()[name] = adapter  # pickle finds classes by name
    return adapter


def check_as_sklearn(detector: BaseDetector, sounds: Sounds) -> None:
    """Run scikit-learn's estimator checks, behind the adapter where the detector needs one."""
    # The share of *training* clips beyond the threshold is asked to be exact.
    detector.set_params(threshold="quantile", calibration=None)
    if "max_epochs" in detector.get_params():
        detector.set_params(max_epochs=2)  # nothing here asks for quality
    # A steady spectrogram needs no more than two windows.
    n_frames = detector._window()[0] + 1 if isinstance(detector, NetDetector) else 1
    kind: Any = type(detector)
    lifted = _takes_spectrograms(detector)
    adapter = on_flat_data(kind, sounds.train.shape[1], n_frames, sounds.metadata, lifted)
    detector = adapter(**detector.get_params(deep=False))
    reason = ""
    if "exposed" in sounds.metadata(2):
        # Exposed clips are among those that scikit-learn counts, and set no threshold.
        reason = "the share of alarms is that of the machine's own clips"
    elif "section" in sounds.metadata(2):
        # Nobody tells them here; the threshold is that of clips whose section is known.
        reason = "the share of alarms is that of known sections"
    names = ("check_outliers_train", "check_outliers_fit_predict") if reason else ()
    impossible = dict.fromkeys(names, reason)
    results = check_estimator(
        detector, on_skip=None, on_fail="raise", expected_failed_checks=impossible
    )
    passed = [result["check_name"] for result in results if result["status"] == "passed"]
    assert len(passed) >= _FEWEST_SKLEARN_CHECKS, f"only {passed} ran"


# -- this project's checks: each gets an unfitted detector and sounds ----------------------------


def check_identities(detector: BaseDetector, sounds: Sounds) -> None:
    """The decision is the score less the offset, in float64, and negative for -1."""
    _fit(detector, sounds)
    scores = detector.score_samples(sounds.test)
    decision = detector.decision_function(sounds.test)
    assert scores.dtype == decision.dtype == np.float64
    assert scores.shape == decision.shape == sounds.label.shape
    np.testing.assert_array_equal(decision, scores - detector.offset_)
    np.testing.assert_array_equal(detector.predict(sounds.test), np.where(decision < 0, -1, 1))
    assert len(np.unique(scores)) == len(scores), "constant scores"


def check_planted_fault_is_found(detector: BaseDetector, sounds: Sounds) -> None:
    """Bursts score lower than none, and the map is larger inside them."""
    _fit(detector, sounds)
    auc = roc_auc_score(sounds.label, detector.score_samples(sounds.test))
    assert auc >= 0.9, f"AUC {auc:.3f} on planted bursts"
    if not hasattr(detector, "anomaly_map"):
        return
    maps = detector.anomaly_map(sounds.test)
    assert maps.shape == sounds.test.shape
    faulty = sounds.label == -1
    inside, outside = sounds.burst[faulty], ~sounds.burst[faulty]
    ratio = maps[faulty][inside].mean() / maps[faulty][outside].mean()
    assert ratio >= 2, f"the map is only {ratio:.2f} times larger inside the bursts"


def check_training_learns(detector: BaseDetector, sounds: Sounds) -> None:
    """Training moves every trainable weight and lowers the loss."""
    weights = []
    for n_epochs in (1, max(2, detector.max_epochs)):
        trained = _fit(clone(detector).set_params(max_epochs=n_epochs), sounds)
        weights.append(
            {
                f"{net}.{name}": w
                for net, stage in trained.nets_.items()
                for name, w in stage.module_.named_parameters()
                if w.requires_grad
            }
        )
    still = [name for name, w in weights[0].items() if torch.equal(w, weights[1][name])]
    assert not still, f"{still} did not move"
    assert trained.loss_curve_[-1] < trained.loss_curve_[0]


def check_company_does_not_matter(detector: BaseDetector, sounds: Sounds) -> None:
    """A clip scores the same alone, in another order and twice, by every score."""
    _fit(detector, sounds)

    def score(X: np.ndarray) -> np.ndarray:
        with _of_any_length():
            table = [detector.score_table(X)] if hasattr(detector, "score_table") else []
            return np.column_stack([detector.score_samples(X), *table])

    X = sounds.test
    if X.ndim == 3:  # so long that batches end in the middle of clips
        X = np.tile(X[::4], (1, 1, 9)) + np.linspace(0, 1, 9 * X.shape[2], dtype=np.float32)
    scores = score(X)
    order = np.random.default_rng(0).permutation(len(scores))
    np.testing.assert_array_equal(score(X[order]), scores[order])
    for clip in (0, len(X) - 1):
        np.testing.assert_array_equal(score(X[[clip]]), scores[[clip]])
    np.testing.assert_array_equal(score(X), scores)


def check_anomalies_are_left_out(detector: BaseDetector, sounds: Sounds) -> None:
    """Clips labelled -1 change nothing."""
    X = np.concatenate([sounds.train, sounds.test[sounds.label == -1]])
    known = np.arange(len(X)) < len(sounds.train)
    metadata = sounds.metadata(len(X))
    if "exposed" in metadata:
        metadata["exposed"] = metadata["exposed"] & known
    with_them = clone(detector).fit(X, np.where(known, 1, -1), **metadata)
    metadata = {name: np.asarray(values)[known] for name, values in metadata.items()}
    without = clone(detector).fit(sounds.train, **metadata)
    assert with_them.offset_ == without.offset_
    np.testing.assert_array_equal(
        with_them.score_samples(sounds.test), without.score_samples(sounds.test)
    )


def check_exposed_set_no_threshold(detector: BaseDetector, sounds: Sounds) -> None:
    """The threshold is the quantile of the machine's own normal clips."""
    X = np.concatenate([sounds.train, sounds.test[sounds.label == -1]])
    metadata = sounds.metadata(len(X))
    mine = np.arange(len(X)) < len(sounds.train)
    mine &= ~np.asarray(metadata.pop("exposed", np.zeros(len(X), dtype=bool)))
    detector.set_params(threshold="quantile").fit(X, exposed=~mine, **metadata)
    told = _sections(metadata, mine)
    scores = detector.score_samples(X[mine], **told)
    np.testing.assert_array_equal(np.sort(detector.calibration_scores_), np.sort(scores))
    assert detector.offset_ == np.percentile(scores, 100 * detector.contamination)
    n_beyond = np.ceil(detector.contamination * (len(scores) - 1))
    if len(np.unique(scores)) == len(scores):  # a clip may be its own nearest neighbour: all tie
        assert np.sum(detector.predict(X[mine], **told) == -1) == n_beyond


# -- the decision --------------------------------------------------------------------------------


def check_calibration_changes_no_score(detector: BaseDetector, sounds: Sounds) -> None:
    """A calibrated detector scores as one that is not: held-out clips set the threshold alone."""
    plain = _fit(clone(detector), sounds)
    calibrated = _fit(clone(detector).set_params(calibration=2), sounds)
    np.testing.assert_array_equal(
        plain.score_samples(sounds.test), calibrated.score_samples(sounds.test)
    )
    assert plain.offset_ != calibrated.offset_
    assert len(plain.calibration_scores_) == len(calibrated.calibration_scores_)


def check_calibration_is_out_of_fold(detector: BaseDetector, sounds: Sounds) -> None:
    """Calibration scores are those of a detector that was fitted without the clips it scores."""
    exposed = np.asarray(sounds.metadata(len(sounds.train)).get("exposed", False))
    mine = np.flatnonzero(~np.broadcast_to(exposed, len(sounds.train)))
    held_out = mine[1::2]  # of the machine's own clips, every other
    folds = PredefinedSplit(np.where(np.isin(mine, held_out), 0, -1))
    calibrated = clone(detector).set_params(calibration=folds, contamination=0.25)
    _fit(calibrated, sounds)
    y = np.ones(len(sounds.train))
    y[held_out] = -1  # takes no part in training
    without = clone(detector)
    without._match_training_effort(1 - len(held_out) / len(mine))
    _fit(without, sounds, y=y)
    np.testing.assert_array_equal(
        calibrated.calibration_scores_,
        without.score_samples(
            sounds.train[held_out], **_sections(sounds.metadata(len(sounds.train)), held_out)
        ),
    )


def check_new_normal_clips(detector: BaseDetector, sounds: Sounds) -> None:
    """By default new normal clips are rarely alarms, and p-values are low for faults only."""
    detector.set_params(calibration="auto", threshold="quantile", contamination=0.1)
    _fit(detector, sounds)
    normal = sounds.label == 1
    told = _sections(sounds.metadata(len(sounds.test)), slice(None))
    p = detector.p_values(sounds.test, **told)
    known = detector.calibration_scores_
    scores = detector.score_samples(sounds.test, **told)
    expected = [(1 + np.sum(known <= s)) / (len(known) + 1) for s in scores]
    np.testing.assert_array_equal(p, expected)
    n_alarms = np.sum(detector.predict(sounds.test, **told)[normal] == -1)
    assert n_alarms <= 0.5 * normal.sum(), f"{n_alarms} of {normal.sum()} new normal clips"
    assert np.median(p[normal]) > 0.15, "new normal clips have low p-values"
    assert np.median(p[~normal]) <= 0.15, "bursts have high p-values"


def check_another_score_decides_nothing(detector: BaseDetector, sounds: Sounds) -> None:
    """After a change of the score, decisions are refused, until it is set back or recalibrated."""
    _fit(detector, sounds)
    scores, decisions = detector.score_samples(sounds.test), detector.predict(sounds.test)
    change = _another_score(detector)
    before = {name: getattr(detector, name) for name in change}
    changed = detector.set_params(**change)
    for decide in (changed.decision_function, changed.predict, changed.p_values):
        _assert_raises("the threshold was set for", decide, sounds.test)
    _assert_raises("the threshold was set for", changed.decide, scores)
    assert np.isfinite(changed.score_samples(sounds.test)).all()
    detector.set_params(**before)
    np.testing.assert_array_equal(detector.predict(sounds.test), decisions)
    changed = detector.set_params(**change)
    changed.recalibrate(sounds.test[sounds.label == 1])
    assert np.isfinite(changed.p_values(sounds.test)).all()


def _set_known(detector: BaseDetector, **params: Any) -> None:
    """Set parameters; a detector on embeddings, of one window each, may have no `pooling`."""
    detector.set_params(**{k: v for k, v in params.items() if k in detector.get_params()})


def _another_score(detector: Any) -> dict[str, str]:
    """Find a change of parameters that scores depend on, and nothing that is learnt."""
    if "pooling" in detector.get_params():
        return {"pooling": "min" if detector.pooling != "min" else "max"}
    names = {*detector._window_scores, *detector._clip_scores} - {detector.anomaly_score}
    return {"anomaly_score": min(names)}


def check_uncalibrated_p_values(detector: BaseDetector, sounds: Sounds) -> None:
    """Clips that were trained on make no p-values."""
    _fit(detector.set_params(calibration=None), sounds)
    _assert_raises("calibration=None", detector.p_values, sounds.test)
    detector.recalibrate(sounds.test[sounds.label == 1])
    assert detector.p_values(sounds.test).min() > 0


def check_silent_clip_is_left_out(detector: BaseDetector, sounds: Sounds) -> None:
    """A dead microphone among the training clips changes nothing, and is named."""
    dead = len(sounds.train) - 2
    X = sounds.train.copy()
    X[dead] = -100
    metadata = sounds.metadata(len(X))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with_it = clone(detector).fit(X, **metadata)
    assert any(f"clip {dead} has no sound" in str(w.message) for w in caught), "it is not named"
    metadata = {name: np.delete(np.asarray(v), dead, axis=0) for name, v in metadata.items()}
    without = clone(detector).fit(np.delete(X, dead, axis=0), **metadata)
    assert with_it.offset_ == without.offset_
    np.testing.assert_array_equal(
        with_it.score_samples(sounds.test), without.score_samples(sounds.test)
    )
    _assert_raises("no normal clip with any sound", clone(detector).fit, np.full_like(X, -100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moved = without.recalibrate(X).offset_
    assert moved == without.recalibrate(np.delete(X, dead, axis=0)).offset_


def check_interruption_passes(detector: BaseDetector, sounds: Sounds) -> None:
    """Ctrl-C stops a fit, and nothing half-trained is left in the detector or in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        detector.set_params(memory=folder, random_state=0)
        stopped = False
        with patch.object(WindowNet, "run_single_epoch", side_effect=KeyboardInterrupt):
            try:
                _fit(detector, sounds)
            except KeyboardInterrupt:
                stopped = True
        assert stopped, "KeyboardInterrupt was swallowed"
        assert not hasattr(detector, "offset_")
        assert not list(Path(folder).rglob("output.pkl")), "something half-trained was cached"


def _numpy_state() -> np.ndarray:
    return np.random.mtrand._rand.get_state(legacy=False)["state"]["key"].copy()


def check_seeds(detector: BaseDetector, sounds: Sounds) -> None:
    """One seed gives one detector, another seed another, and the global ones stay untouched."""
    torch_before, numpy_before = torch.get_rng_state(), _numpy_state()
    first, second, other, drawn = (
        _fit(clone(detector).set_params(random_state=seed), sounds).score_samples(sounds.test)
        for seed in (0, 0, 1, None)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, drawn)
    assert torch.equal(torch_before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, _numpy_state())


def check_clone(detector: BaseDetector, sounds: Sounds) -> None:
    """A clone of a fitted detector is unfitted and learns the same."""
    _fit(detector, sounds)
    again = clone(detector)
    assert not hasattr(again, "offset_")
    assert _fit(again, sounds).offset_ == detector.offset_


def check_fresh_process(detector: BaseDetector, sounds: Sounds) -> None:
    """A dumped detector scores the same, to the bit, in a process that never saw it."""
    scores = _fit(detector, sounds).score_samples(sounds.test)
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump((detector, sounds.test), Path(folder, "model.joblib"))
        script = (
            "import joblib, numpy as np, torch\n"
            f"torch.set_num_threads({torch.get_num_threads()})\n"
            "detector, X = joblib.load('model.joblib')\n"
            "np.save('scores.npy', detector.score_samples(X))\n"
        )
        subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=folder, check=True)
        np.testing.assert_array_equal(np.load(Path(folder, "scores.npy")), scores)


def check_lengths(detector: BaseDetector, sounds: Sounds) -> None:
    """Clips of any length from one window on; a list scores as its members do alone."""
    _fit(detector, sounds)
    length = detector._window()[0] if isinstance(detector, NetDetector) else 4
    lengths = np.linspace(length, sounds.test.shape[2], len(sounds.test)).astype(int)
    ragged = [x[:, :n] for x, n in zip(sounds.test, lengths, strict=True)]
    with _of_any_length():
        scores = detector.score_samples(ragged)
        alone = [detector.score_samples(x[None])[0] for x in ragged]
    np.testing.assert_array_equal(scores, alone)
    assert np.isfinite(_fit(clone(detector), sounds, ragged).offset_)
    if hasattr(detector, "anomaly_map"):
        assert [m.shape for m in detector.anomaly_map(ragged)] == [x.shape for x in ragged]
    if isinstance(detector, NetDetector):
        _assert_raises("clip 1 has only", detector.score_samples, [ragged[-1], ragged[-1][:, :1]])


def check_kinds_of_arrays(detector: BaseDetector, sounds: Sounds) -> None:
    """float16, float64, strided and read-only input work, and no input is modified."""
    X = sounds.test.astype(np.float16).astype(np.float32)  # exact in every dtype
    before = X.copy()
    X.flags.writeable = False
    train = sounds.train.copy()
    train.flags.writeable = False
    _fit(detector, sounds, train)
    scores = detector.score_samples(X)
    others: list[Any] = [X.astype(np.float16), X.astype(float), np.repeat(X, 2, axis=-1)[..., ::2]]
    if X.ndim == 3:
        frames_first = np.ascontiguousarray(X.transpose(0, 2, 1)).transpose(0, 2, 1)
        others += [frames_first, list(X)]
    for other in others:
        np.testing.assert_array_equal(detector.score_samples(other), scores)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(train, sounds.train)


def check_table_holds_every_variant(detector: BaseDetector, sounds: Sounds) -> None:
    """Each column of `score_table` is `score_samples` under its name, and trained once."""
    _fit(detector, sounds)
    table = detector.score_table(sounds.test)
    assert len(table.columns) >= 3 * len(detector._window_scores)
    for column in table:
        score, _, pooling = column.rpartition("_")
        if score not in detector._window_scores:
            score, pooling = column, "mean"
        _set_known(detector, anomaly_score=score, pooling=pooling)
        np.testing.assert_array_equal(detector.score_samples(sounds.test), table[column])


def check_recalibration(detector: BaseDetector, sounds: Sounds) -> None:
    """New normal clips set a new threshold, and nothing else."""
    _fit(detector.set_params(threshold="quantile"), sounds)
    scores = detector.score_samples(sounds.test)
    assert detector.recalibrate(sounds.test, sounds.label) is detector
    np.testing.assert_array_equal(detector.score_samples(sounds.test), scores)
    normal = scores[sounds.label == 1]
    assert detector.offset_ == np.percentile(normal, 100 * detector.contamination)


def check_memory_trains_once(detector: BaseDetector, sounds: Sounds) -> None:
    """Another score, pooling or threshold finds the trained nets in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        _fit(detector.set_params(memory=folder), sounds)
        stored = sorted(Path(folder).rglob("output.pkl"))
        assert len(stored) == len(detector.nets_) + 1  # and what was learnt after training
        last = detector.score_table(sounds.test[:1]).columns[-1]
        last = last if last in detector._clip_scores else detector._window_scores[-1]
        other = clone(detector).set_params(anomaly_score=last, contamination=0.2)
        _set_known(other, pooling="max")
        plain = clone(other).set_params(memory=None)
        assert _fit(other, sounds).offset_ == _fit(plain, sounds).offset_
        assert sorted(Path(folder).rglob("output.pkl")) == stored
        with patch("sklasd.__version__", "another"):
            _fit(clone(detector), sounds)
        assert len(list(Path(folder).rglob("output.pkl"))) == 2 * len(stored), "nets of old code"


def check_bad_input(detector: BaseDetector, sounds: Sounds) -> None:
    """Bad input is named before anything is trained."""
    X, n_clips = sounds.train, len(sounds.train)
    fit = partial(_fit, detector, sounds)
    broken = X.copy()
    broken[3].flat[0] = np.nan
    _assert_raises("NaN" if X.ndim == 2 else "clip 3", fit, broken)
    _assert_raises("n_mels, n_frames" if X.ndim == 3 else "2D array", detector.fit, X[0])
    _assert_raises("normal", fit, X, np.full(n_clips, -1))
    _assert_raises("-1", fit, X, np.zeros(n_clips))
    for name in ("exposed", "section", "domain", "groups"):
        _assert_raises(name, partial(fit, **{name: [True]}), X)
    if isinstance(detector, NetDetector):
        abroad = clone(detector).set_params(device="abacus")
        _assert_raises("device", partial(_fit, abroad, sounds), X)
    fit()
    _assert_raises("mel bands" if X.ndim == 3 else "features", detector.score_samples, X[:, 1:])


def _assert_raises(words: str, function: Callable[..., Any], *args: Any) -> None:
    """Assert that a call raises a ValueError that says certain words."""
    message = None
    try:
        function(*args)
    except ValueError as error:
        message = str(error)
    assert message is not None, f"no error that says {words!r}"
    assert words in message, f"{words!r} is not in the message: {message}"


_CHECKS = (
    check_identities,
    check_planted_fault_is_found,
    check_company_does_not_matter,
    check_anomalies_are_left_out,
    check_exposed_set_no_threshold,
    check_calibration_changes_no_score,
    check_calibration_is_out_of_fold,
    check_new_normal_clips,
    check_uncalibrated_p_values,
    check_clone,
    check_fresh_process,
    check_kinds_of_arrays,
    check_recalibration,
    check_bad_input,
)
_NET_CHECKS = (
    check_training_learns,
    check_seeds,
    check_table_holds_every_variant,
    check_another_score_decides_nothing,
    check_memory_trains_once,
    check_interruption_passes,
)
_SPECTROGRAM_CHECKS = (check_lengths, check_silent_clip_is_left_out)


def detector_checks(
    detector: BaseDetector,
    *,
    n_mels: int = 32,
    n_frames: int = 40,
    fit_metadata: Metadata = _no_metadata,
) -> Iterator[tuple[str, Callable[[], None]]]:
    """List the checks of a detector, to run them one by one.

    Parameters
    ----------
    detector : BaseDetector
        Unfitted, with few, small, quick parameters; it is not changed.
    n_mels, n_frames : int
        Size of the spectrograms it is tried on.
    fit_metadata : callable, default=None
        As in `check_detector`.

    Yields
    ------
    name : str
        Of the check.
    check : callable
        Without arguments; raises where the detector fails.
    """
    sounds = make_sounds(n_mels, n_frames)._replace(metadata=fit_metadata)
    exposed = fit_metadata(len(sounds.train)).get("exposed")
    if exposed is not None:  # clips of another machine sound otherwise
        bursts = sounds.burst[sounds.label == -1][exposed]
        sounds.train[exposed] += 15 * bursts
    checks: tuple[Callable[[Any, Sounds], None], ...] = (check_as_sklearn, *_CHECKS)
    if isinstance(detector, NetDetector):
        checks += _NET_CHECKS
    if _takes_spectrograms(detector):
        checks += _SPECTROGRAM_CHECKS
    else:
        sounds = sounds.embedded()
    # Only the checks of the calibration pay for one; they ask for it themselves.
    bare = clone(detector).set_params(calibration=None, threshold="quantile")
    for check in checks:
        yield check.__name__, partial(check, clone(bare), sounds)


def check_detector(
    detector: BaseDetector,
    *,
    n_mels: int = 32,
    n_frames: int = 40,
    fit_metadata: Metadata = _no_metadata,
) -> None:
    """Check that a detector keeps scikit-learn's contract and this project's.

    Parameters
    ----------
    detector : BaseDetector
        Unfitted, with few, small, quick parameters.
    n_mels, n_frames : int
        Size of the spectrograms it is tried on; detectors on embeddings get `n_mels` features.
    fit_metadata : callable, default=None
        From a number of clips to what `fit` needs to be told of them, as a dict: such as
        ``lambda n: {"section": np.arange(n) % 3}`` for a detector that tells sections apart.

    Raises
    ------
    AssertionError
        By the first check that fails.

    Examples
    --------
    >>> from sklasd import OEAutoencoder
    >>> from sklasd.testing import check_detector
    >>> tiny = OEAutoencoder(hidden_layer_sizes=(16,), batch_size=64)
    >>> check_detector(tiny)  # doctest: +SKIP
    """
    for _, check in detector_checks(
        detector, n_mels=n_mels, n_frames=n_frames, fit_metadata=fit_metadata
    ):
        check()
