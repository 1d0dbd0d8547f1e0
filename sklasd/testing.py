"""The conformance suite for detectors on spectrograms.

scikit-learn's own suite runs nothing on estimators that take 3-D input only: green and empty. Here
it runs for real, on an adapter that lifts its 2-D data to spectrograms, together with the checks
that make a detector one of this project's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data

from sklasd.base import BaseDetector
from sklasd.training._windows import Spectrograms

_FEWEST_SKLEARN_CHECKS = 40  # scikit-learn 1.6 runs more; fewer mean that the tags are wrong


class Sounds(NamedTuple):
    """Made-up spectrograms: a steady spectrum with noise, and a burst in some of them."""

    train: np.ndarray  # (n_clips, n_mels, n_frames), normal
    test: np.ndarray  # normal ones, then as many with a burst
    label: np.ndarray  # +1 and -1, of test
    burst: np.ndarray  # bool, same shape as test: where the burst is


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
def on_flat_data(detector: Any, n_mels: int, n_frames: int) -> type[BaseDetector]:
    """Make a subclass that takes (n_clips, n_features) and lifts each row to a spectrogram.

    Everything but the check of the input is the detector's own, so scikit-learn's checks exercise
    its code.

    Parameters
    ----------
    detector : type
        The detector's class.
    n_mels, n_frames : int
        Of the spectrograms; the features are repeated over the bands, and held over the frames.

    Returns
    -------
    type
        The subclass; it can be pickled.
    """

    class Adapter(detector):
        def fit(self, X: Any, y: Any = None) -> Any:
            return super().fit(X)  # scikit-learn's y are classes, made up: no -1 among them

        def _check_X(self, X: Any, *, reset: bool) -> Spectrograms:
            X = validate_data(self, X, reset=reset, dtype=np.float32)
            bands = np.resize(np.arange(X.shape[1]), max(n_mels, X.shape[1]))[:n_mels]
            return Spectrograms.stack(np.repeat(X[:, bands, None], n_frames, axis=2))

        def __sklearn_tags__(self) -> Any:
            tags = super().__sklearn_tags__()
            tags.input_tags.two_d_array = True
            tags.input_tags.three_d_array = False
            return tags

    name = f"{detector.__name__}On{n_mels}x{n_frames}"
    Adapter.__name__ = Adapter.__qualname__ = name
    Adapter.__module__ = __name__
    globals()[name] = Adapter  # pickle finds classes by name
    return Adapter


def check_as_sklearn(detector: BaseDetector, n_mels: int, n_frames: int) -> None:
    """Run scikit-learn's estimator checks on the detector behind the adapter."""
    params = detector.get_params(deep=False) | {"max_epochs": 2}  # nothing here asks for quality
    kind: Any = type(detector)
    adapter = on_flat_data(kind, n_mels, n_frames)(**params)
    results = check_estimator(adapter, on_skip=None, on_fail="raise")
    passed = [result["check_name"] for result in results if result["status"] == "passed"]
    assert len(passed) >= _FEWEST_SKLEARN_CHECKS, f"only {passed} ran"


# -- this project's checks: each gets an unfitted detector and sounds ----------------------------


def check_identities(detector: BaseDetector, sounds: Sounds) -> None:
    """The decision is the score less the offset, in float64, and negative for -1."""
    detector.fit(sounds.train)
    scores = detector.score_samples(sounds.test)
    decision = detector.decision_function(sounds.test)
    assert scores.dtype == decision.dtype == np.float64
    assert scores.shape == decision.shape == sounds.label.shape
    np.testing.assert_array_equal(decision, scores - detector.offset_)
    np.testing.assert_array_equal(detector.predict(sounds.test), np.where(decision < 0, -1, 1))
    assert len(np.unique(scores)) == len(scores), "constant scores"


def check_planted_fault_is_found(detector: BaseDetector, sounds: Sounds) -> None:
    """Bursts score lower than none, and the map is larger inside them."""
    detector.fit(sounds.train)
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
        trained = clone(detector).set_params(max_epochs=n_epochs).fit(sounds.train)
        named = trained.net_.module_.named_parameters()
        weights.append({name: w for name, w in named if w.requires_grad})
    still = [name for name, w in weights[0].items() if torch.equal(w, weights[1][name])]
    assert not still, f"{still} did not move"
    assert trained.loss_curve_[-1] < trained.loss_curve_[0]


def check_company_does_not_matter(detector: BaseDetector, sounds: Sounds) -> None:
    """A clip scores the same alone, in another order and twice."""
    detector.fit(sounds.train)
    scores = detector.score_samples(sounds.test)
    order = np.random.default_rng(0).permutation(len(scores))
    np.testing.assert_array_equal(detector.score_samples(sounds.test[order]), scores[order])
    np.testing.assert_array_equal(detector.score_samples(sounds.test[:1]), scores[:1])
    np.testing.assert_array_equal(detector.score_samples(sounds.test), scores)


def check_anomalies_are_left_out(detector: BaseDetector, sounds: Sounds) -> None:
    """Clips labelled -1 change nothing."""
    X = np.concatenate([sounds.train, sounds.test[sounds.label == -1]])
    y = np.where(np.arange(len(X)) < len(sounds.train), 1, -1)
    with_them = clone(detector).fit(X, y)
    without = clone(detector).fit(sounds.train)
    assert with_them.offset_ == without.offset_
    np.testing.assert_array_equal(
        with_them.score_samples(sounds.test), without.score_samples(sounds.test)
    )


def check_exposed_set_no_threshold(detector: BaseDetector, sounds: Sounds) -> None:
    """The threshold is the quantile of the machine's own normal clips."""
    X = np.concatenate([sounds.train, sounds.test[sounds.label == -1]])
    exposed = np.arange(len(X)) >= len(sounds.train)
    detector.set_params(threshold="quantile").fit(X, exposed=exposed)
    scores = detector.score_samples(sounds.train)
    assert detector.offset_ == np.percentile(scores, 100 * detector.contamination)
    n_beyond = np.ceil(detector.contamination * (len(scores) - 1))
    assert np.sum(detector.predict(sounds.train) == -1) == n_beyond


def _numpy_state() -> np.ndarray:
    return np.random.mtrand._rand.get_state(legacy=False)["state"]["key"].copy()


def check_seeds(detector: BaseDetector, sounds: Sounds) -> None:
    """One seed gives one detector, another seed another, and the global ones stay untouched."""
    torch_before, numpy_before = torch.get_rng_state(), _numpy_state()
    first, second, other, drawn = (
        clone(detector).set_params(random_state=seed).fit(sounds.train).score_samples(sounds.test)
        for seed in (0, 0, 1, None)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, drawn)
    assert torch.equal(torch_before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, _numpy_state())


def check_clone(detector: BaseDetector, sounds: Sounds) -> None:
    """A clone of a fitted detector is unfitted and learns the same."""
    detector.fit(sounds.train)
    again = clone(detector)
    assert not hasattr(again, "offset_")
    assert again.fit(sounds.train).offset_ == detector.offset_


def check_fresh_process(detector: BaseDetector, sounds: Sounds) -> None:
    """A dumped detector scores the same, to the bit, in a process that never saw it."""
    scores = detector.fit(sounds.train).score_samples(sounds.test)
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
    detector.fit(sounds.train)
    length, _ = detector._window()
    lengths = np.linspace(length, sounds.test.shape[2], len(sounds.test)).astype(int)
    ragged = [x[:, :n] for x, n in zip(sounds.test, lengths, strict=True)]
    scores = detector.score_samples(ragged)
    alone = [detector.score_samples(x[None])[0] for x in ragged]
    np.testing.assert_array_equal(scores, alone)
    assert np.isfinite(clone(detector).fit(ragged).offset_)
    if hasattr(detector, "anomaly_map"):
        assert [m.shape for m in detector.anomaly_map(ragged)] == [x.shape for x in ragged]
    _assert_raises("clip 1 has only", detector.score_samples, [ragged[-1], ragged[-1][:, :1]])


def check_kinds_of_arrays(detector: BaseDetector, sounds: Sounds) -> None:
    """float16, float64, strided and read-only input work, and no input is modified."""
    X = sounds.test.astype(np.float16).astype(np.float32)  # exact in every dtype
    before = X.copy()
    X.flags.writeable = False
    train = sounds.train.copy()
    train.flags.writeable = False
    detector.fit(train)
    scores = detector.score_samples(X)
    padded = np.repeat(X, 2, axis=2)
    frames_first = np.ascontiguousarray(X.transpose(0, 2, 1)).transpose(0, 2, 1)
    for other in (X.astype(np.float16), X.astype(float), padded[:, :, ::2], frames_first, list(X)):
        np.testing.assert_array_equal(detector.score_samples(other), scores)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(train, sounds.train)


def check_table_holds_every_variant(detector: BaseDetector, sounds: Sounds) -> None:
    """Each column of `score_table` is `score_samples` under its name, and trained once."""
    detector.fit(sounds.train)
    table = detector.score_table(sounds.test)
    for score in detector._window_scores + detector._clip_scores:
        for pooling in ("mean", "max", "min"):
            column = f"{score}_{pooling}" if score in detector._window_scores else score
            detector.set_params(anomaly_score=score, pooling=pooling)
            np.testing.assert_array_equal(detector.score_samples(sounds.test), table[column])


def check_recalibration(detector: BaseDetector, sounds: Sounds) -> None:
    """New normal clips set a new threshold, and nothing else."""
    detector.set_params(threshold="quantile").fit(sounds.train)
    scores = detector.score_samples(sounds.test)
    assert detector.recalibrate(sounds.test, sounds.label) is detector
    np.testing.assert_array_equal(detector.score_samples(sounds.test), scores)
    normal = scores[sounds.label == 1]
    assert detector.offset_ == np.percentile(normal, 100 * detector.contamination)


def check_memory_trains_once(detector: BaseDetector, sounds: Sounds) -> None:
    """Another score, pooling or threshold finds the trained net in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        detector.set_params(memory=folder).fit(sounds.train)
        stored = sorted(Path(folder).rglob("output.pkl"))
        assert len(stored) == 1
        last = (detector._window_scores + detector._clip_scores)[-1]
        other = clone(detector).set_params(pooling="max", anomaly_score=last, contamination=0.2)
        plain = clone(other).set_params(memory=None)
        assert other.fit(sounds.train).offset_ == plain.fit(sounds.train).offset_
        assert sorted(Path(folder).rglob("output.pkl")) == stored


def check_bad_input(detector: BaseDetector, sounds: Sounds) -> None:
    """Bad input is named before anything is trained."""
    broken = sounds.train.copy()
    broken[3, 0, 0] = np.nan
    _assert_raises("clip 3", detector.fit, broken)
    _assert_raises("n_mels, n_frames", detector.fit, sounds.train[0])
    _assert_raises("normal", detector.fit, sounds.train, np.full(len(sounds.train), -1))
    _assert_raises("-1", detector.fit, sounds.train, np.zeros(len(sounds.train)))
    _assert_raises("exposed", partial(detector.fit, exposed=[True]), sounds.train)
    _assert_raises("device", clone(detector).set_params(device="abacus").fit, sounds.train)
    detector.fit(sounds.train)
    _assert_raises("mel bands", detector.score_samples, sounds.test[:, 1:])


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
    check_training_learns,
    check_company_does_not_matter,
    check_anomalies_are_left_out,
    check_exposed_set_no_threshold,
    check_seeds,
    check_clone,
    check_fresh_process,
    check_lengths,
    check_kinds_of_arrays,
    check_table_holds_every_variant,
    check_recalibration,
    check_memory_trains_once,
    check_bad_input,
)


def detector_checks(
    detector: BaseDetector, *, n_mels: int = 32, n_frames: int = 40
) -> Iterator[tuple[str, Callable[[], None]]]:
    """List the checks of a detector, to run them one by one.

    Parameters
    ----------
    detector : BaseDetector
        Unfitted, with ``threshold="quantile"`` and few, small, quick parameters; it is not
        changed.
    n_mels, n_frames : int
        Size of the spectrograms it is tried on.

    Yields
    ------
    name : str
        Of the check.
    check : callable
        Without arguments; raises where the detector fails.
    """
    length, _ = detector._window()  # a steady spectrogram needs no more than two windows
    yield "check_as_sklearn", partial(check_as_sklearn, clone(detector), n_mels, length + 1)
    sounds = make_sounds(n_mels, n_frames)
    for check in _CHECKS:
        yield check.__name__, partial(check, clone(detector), sounds)


def check_detector(detector: BaseDetector, *, n_mels: int = 32, n_frames: int = 40) -> None:
    """Check that a detector keeps scikit-learn's contract and this project's.

    Parameters
    ----------
    detector : BaseDetector
        Unfitted, with ``threshold="quantile"`` (a gamma fit keeps no exact contamination) and
        few, small, quick parameters.
    n_mels, n_frames : int
        Size of the spectrograms it is tried on.

    Raises
    ------
    AssertionError
        By the first check that fails.

    Examples
    --------
    >>> from sklasd import OEAutoencoder
    >>> from sklasd.testing import check_detector
    >>> tiny = OEAutoencoder(hidden_layer_sizes=(16,), batch_size=64, threshold="quantile")
    >>> check_detector(tiny)  # doctest: +SKIP
    """
    for _, check in detector_checks(detector, n_mels=n_mels, n_frames=n_frames):
        check()
