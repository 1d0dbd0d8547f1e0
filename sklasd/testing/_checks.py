"""Checks of scores and input, for every detector.

Each check gets an unfitted detector, which it may change, and sounds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from sklasd.base import BaseDetector, NetDetector
from sklasd.testing._assertions import assert_raises, clips_of_any_length
from sklasd.testing._sounds import Sounds


def check_identities(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that the decision is the score less the offset, in float64, and negative for -1."""
    sounds.fit(detector)
    scores = detector.score_samples(sounds.test)
    decision = detector.decision_function(sounds.test)
    assert scores.dtype == decision.dtype == np.float64
    assert scores.shape == decision.shape == sounds.label.shape
    np.testing.assert_array_equal(decision, scores - detector.offset_)
    np.testing.assert_array_equal(detector.predict(sounds.test), np.where(decision < 0, -1, 1))
    assert len(np.unique(scores)) == len(scores), "constant scores"


def check_planted_fault_is_found(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that clips with bursts score lower, and that the map is larger inside the bursts."""
    sounds.fit(detector)
    # 0.9, not 1: small nets with few epochs have to pass.
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


def check_company_does_not_matter(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that a clip scores the same alone, in another order and twice, by every score."""
    sounds.fit(detector)

    def score(X: np.ndarray) -> np.ndarray:
        with clips_of_any_length():
            table = [detector.score_table(X)] if hasattr(detector, "score_table") else []
            return np.column_stack([detector.score_samples(X), *table])

    X = sounds.test
    if X.ndim == 3:  # so long that batches end in the middle of clips
        X = np.tile(X[::4], (1, 1, 9)) + np.linspace(0, 1, 9 * X.shape[2], dtype=np.float32)
    scores = score(X)
    # Equal to the last bit, or a threshold would decide by the other clips of a batch.
    order = np.random.default_rng(0).permutation(len(scores))
    np.testing.assert_array_equal(score(X[order]), scores[order])
    for clip in (0, len(X) - 1):
        np.testing.assert_array_equal(score(X[[clip]]), scores[[clip]])
    np.testing.assert_array_equal(score(X), scores)


def check_anomalies_are_left_out(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that clips labelled -1 change nothing."""
    X = np.concatenate([sounds.train, sounds.test[sounds.label == -1]])
    is_normal = np.arange(len(X)) < len(sounds.train)
    metadata = sounds.metadata(len(X))
    if "exposed" in metadata:  # exposed clips count, whatever their label
        metadata["exposed"] = metadata["exposed"] & is_normal
    with_them = clone(detector).fit(X, np.where(is_normal, 1, -1), **metadata)
    metadata = {name: np.asarray(values)[is_normal] for name, values in metadata.items()}
    _assert_same(with_them, clone(detector).fit(sounds.train, **metadata), sounds)


def _assert_same(one: Any, other: Any, sounds: Sounds) -> None:
    """Assert that two fitted detectors have the same threshold and give the same scores."""
    assert one.offset_ == other.offset_
    np.testing.assert_array_equal(one.score_samples(sounds.test), other.score_samples(sounds.test))


def check_silent_clip_is_left_out(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that a silent training clip changes nothing, and that a warning names it."""
    silent = len(sounds.train) - 2
    X = sounds.train.copy()
    X[silent] = -100  # dB in all bands and frames: a dead microphone
    metadata = sounds.metadata(len(X))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with_it = clone(detector).fit(X, **metadata)
    assert any(f"clip {silent} has no sound" in str(w.message) for w in caught), "it is not named"
    metadata = {name: np.delete(np.asarray(v), silent, axis=0) for name, v in metadata.items()}
    without = clone(detector).fit(np.delete(X, silent, axis=0), **metadata)
    _assert_same(with_it, without, sounds)
    assert_raises("no normal clip with any sound", clone(detector).fit, np.full_like(X, -100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        moved = without.recalibrate(X).offset_
    assert moved == without.recalibrate(np.delete(X, silent, axis=0)).offset_


def check_clone(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that a clone of a fitted detector is unfitted and learns the same."""
    sounds.fit(detector)  # a fit that changed a parameter would show in the clone
    again = clone(detector)
    assert not hasattr(again, "offset_")
    assert sounds.fit(again).offset_ == detector.offset_


def check_fresh_process(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that a stored detector gives the very same scores in a new process."""
    scores = sounds.fit(detector).score_samples(sounds.test)
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump((detector, sounds.test), Path(folder, "model.joblib"))
        script = (
            "import joblib, numpy as np, torch\n"
            # Another number of threads sums in another order, and changes the last bits.
            f"torch.set_num_threads({torch.get_num_threads()})\n"
            "detector, X = joblib.load('model.joblib')\n"
            "np.save('scores.npy', detector.score_samples(X))\n"
        )
        # Warnings are errors: a stored detector must load without any.
        subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=folder, check=True)
        np.testing.assert_array_equal(np.load(Path(folder, "scores.npy")), scores)


def check_lengths(detector: BaseDetector, sounds: Sounds) -> None:
    """Check clips of any length from one window on; in a list each scores as it does alone."""
    sounds.fit(detector)
    # Statistics need a few frames.
    length = detector._window()[0] if isinstance(detector, NetDetector) else 4
    lengths = np.linspace(length, sounds.test.shape[2], len(sounds.test)).astype(int)
    ragged = [x[:, :n] for x, n in zip(sounds.test, lengths, strict=True)]
    with clips_of_any_length():
        scores = detector.score_samples(ragged)
        alone = [detector.score_samples(x[None])[0] for x in ragged]
    np.testing.assert_array_equal(scores, alone)
    assert np.isfinite(sounds.fit(clone(detector), ragged).offset_)
    if hasattr(detector, "anomaly_map"):
        assert [m.shape for m in detector.anomaly_map(ragged)] == [x.shape for x in ragged]
    if isinstance(detector, NetDetector):
        assert_raises("clip 1 has only", detector.score_samples, [ragged[-1], ragged[-1][:, :1]])


def check_kinds_of_arrays(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that float16, float64, strided and read-only input work, and that none is modified."""
    X = sounds.test.astype(np.float16).astype(np.float32)  # exact in every dtype
    before = X.copy()
    X.flags.writeable = False
    train = sounds.train.copy()
    train.flags.writeable = False
    sounds.fit(detector, train)
    scores = detector.score_samples(X)
    others: list[Any] = [X.astype(np.float16), X.astype(float), np.repeat(X, 2, axis=-1)[..., ::2]]
    if X.ndim == 3:  # spectrograms come in both orders of memory, and as lists
        frames_first = np.ascontiguousarray(X.transpose(0, 2, 1)).transpose(0, 2, 1)
        others += [frames_first, list(X)]
    for other in others:
        np.testing.assert_array_equal(detector.score_samples(other), scores)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(train, sounds.train)


def check_bad_input(detector: BaseDetector, sounds: Sounds) -> None:
    """Check that errors name bad input, before any training."""
    X, n_clips = sounds.train, len(sounds.train)
    fit = partial(sounds.fit, detector)
    broken = X.copy()
    broken[3].flat[0] = np.nan
    assert_raises("NaN" if X.ndim == 2 else "clip 3", fit, broken)
    assert_raises("n_mels, n_frames" if X.ndim == 3 else "2D array", detector.fit, X[0])
    assert_raises("normal", fit, X, np.full(n_clips, -1))
    assert_raises("-1", fit, X, np.zeros(n_clips))
    for name in ("exposed", "section", "domain", "groups"):
        assert_raises(name, partial(fit, **{name: [True]}), X)
    if isinstance(detector, NetDetector):
        abroad = clone(detector).set_params(device="abacus")
        assert_raises("device", partial(sounds.fit, abroad), X)
    fit()  # nothing above has spoilt the detector
    assert_raises("mel bands" if X.ndim == 3 else "features", detector.score_samples, X[:, 1:])


ALL = (
    check_identities,
    check_planted_fault_is_found,
    check_company_does_not_matter,
    check_anomalies_are_left_out,
    check_clone,
    check_fresh_process,
    check_kinds_of_arrays,
    check_bad_input,
)
OF_SPECTROGRAMS = (check_lengths, check_silent_clip_is_left_out)
