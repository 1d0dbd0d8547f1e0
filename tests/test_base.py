"""What all detectors share: validation, seeds, interruption, memory, progress."""

import os
import pty
import select
import subprocess
import sys
import termios
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNet

from sklasd import OEAutoencoder, UNetInpaintDetector
from sklasd.testing import make_sounds
from sklasd.training import WindowNet
from sklasd.training._modes import seeded
from sklasd.utils._metadata import check_normal
from sklasd.utils._progress import progress_bar


@pytest.fixture(scope="module")
def sounds():
    return make_sounds(n_clips=12)


def tiny(**params):
    small = {
        "hidden_layer_sizes": (8,), "max_epochs": 2, "batch_size": 64, "threshold": "quantile",
        "calibration": None, "random_state": 0,
    }  # fmt: skip
    return OEAutoencoder(**small | params)


def test_many_short_clips_are_told_in_few_words():
    X = np.random.default_rng(0).normal(-40, 5, (30, 8, 4))
    with pytest.raises(ValueError, match=r"clip 9 has only 4 frames and 20 more; "):
        tiny().fit(X)


@pytest.fixture(params=[1, 3])
def stopped_in_epoch(request, monkeypatch):
    """Press Ctrl-C in an epoch of every training."""
    calls, step = [0], NeuralNet.train_step

    def train_step(self, *args, **kwargs):
        calls[0] += 1
        if len(self.history) == request.param and calls[0] > 1:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(NeuralNet, "train_step", train_step)


class TestInterruption:
    def test_passes_through_and_leaves_nothing(self, sounds, stopped_in_epoch, tmp_path):
        detector = tiny(max_epochs=10, memory=str(tmp_path))
        with pytest.raises(KeyboardInterrupt):
            detector.fit(sounds.train)
        with pytest.raises(NotFittedError):
            detector.score_samples(sounds.test)
        assert not list(tmp_path.rglob("output.pkl"))

    def test_stops_a_search(self, sounds, stopped_in_epoch):
        search = GridSearchCV(tiny(max_epochs=10), {"lr": [1e-3, 1e-2]}, scoring="roc_auc", cv=2)
        with pytest.raises(KeyboardInterrupt):
            search.fit(sounds.test, sounds.label)

    def test_a_calibration_that_is_stopped_keeps_whole_nets_only(
        self, sounds, tmp_path, monkeypatch
    ):
        detector = tiny(calibration=2, memory=str(tmp_path))
        trainings, epoch = [0], WindowNet.fit_loop

        def fit_loop(self, *args, **kwargs):
            trainings[0] += 1
            if trainings[0] == 2:
                raise KeyboardInterrupt
            return epoch(self, *args, **kwargs)

        monkeypatch.setattr(WindowNet, "fit_loop", fit_loop)
        with pytest.raises(KeyboardInterrupt):
            detector.fit(sounds.train)
        stored = len(list(tmp_path.rglob("output.pkl")))
        monkeypatch.undo()
        assert stored == 2  # the net on all clips, and what was learnt after it
        again = tiny(calibration=2).fit(sounds.train)
        assert detector.fit(sounds.train).offset_ == again.offset_

    def test_an_earlier_fit_stays_whole(self, sounds, monkeypatch):
        detector = tiny().fit(sounds.train)
        scores, offset = detector.score_samples(sounds.test), detector.offset_
        with pytest.raises(ValueError, match="NaN"):
            detector.fit(np.full_like(sounds.train, np.nan))
        with pytest.raises(ValueError, match="only 3 frames"):
            detector.fit(sounds.train[:, :, :3])
        monkeypatch.setattr(WindowNet, "fit_loop", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            detector.fit(sounds.train[:, :16])
        assert detector.offset_ == offset
        np.testing.assert_array_equal(detector.score_samples(sounds.test), scores)

    def test_nothing_of_an_earlier_fit_is_left(self, sounds):
        domain = np.repeat(["source", "target"], 6)
        first = tiny().fit(sounds.train, domain=domain).fit(sounds.train)
        assert sorted(vars(first)) == sorted(vars(tiny().fit(sounds.train)))


def test_a_loss_that_explodes_is_told(sounds):
    with pytest.raises(
        FloatingPointError, match=r"loss is (nan|inf) in step 2 of epoch 1 of 2 .*lower lr"
    ):
        tiny(lr=1e30).fit(sounds.train)


@pytest.mark.parametrize(("n_clips", "calibration"), [(1, None), (2, "auto")])
def test_one_window_is_told_before_training(sounds, monkeypatch, n_clips, calibration):
    monkeypatch.setattr(WindowNet, "fit_loop", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ValueError, match="1 sample that makes a single window"):
        tiny(window_length=40, calibration=calibration).fit(sounds.train[:n_clips])


def test_a_cache_changes_no_decision(sounds, tmp_path):
    # What is drawn after training is drawn from an instance whether the cache serves or not.
    small = {
        "window_length": 16, "hop": 16, "patch_size": 4, "n_masked": 0.5, "n_masks": 2, "width": 2,
        "max_epochs": 1, "calibration": 2, "threshold": "quantile",
    }  # fmt: skip
    offsets = [
        UNetInpaintDetector(**small, memory=memory, random_state=np.random.RandomState(0))
        .fit(sounds.train)
        .offset_
        for memory in (None, str(tmp_path), str(tmp_path))
    ]
    assert len(set(offsets)) == 1


def test_any_memory_with_a_cache_will_do(sounds):
    class Memory:
        """What scikit-learn asks of a memory, and no more."""

        names: ClassVar[list] = []

        def cache(self, function, ignore=()):
            self.names.append(function.__name__)
            return function

    detector = tiny(memory=Memory()).fit(sounds.train)
    assert Memory.names == ["train_net", "_learn_rest"]
    assert detector.offset_ == tiny().fit(sounds.train).offset_


def test_another_hop_decides_nothing(sounds):
    detector = tiny(pooling="max").fit(sounds.train).set_params(hop=5)
    assert np.isfinite(detector.score_samples(sounds.test)).all()
    with pytest.raises(ValueError, match="Got hop in scoring=5, but the threshold was set for 1"):
        detector.predict(sounds.test)


@pytest.mark.parametrize(
    "params",
    [
        {"lr": 0},
        {"batch_size": 0},
        {"max_epochs": 1.5},
        {"pooling": "median"},
        {"anomaly_score": "score"},
        {"threshold": "otsu"},
        {"calibration": "jackknife"},
        {"calibration": 1},
        {"contamination": 0.6},
        {"memory": 3},
        {"window_length": 0},
        {"latent_features": 0},
        {"hidden_layer_sizes": 3},
    ],
    ids=str,
)
def test_bad_parameters_are_told_before_training(sounds, params):
    (name,) = params
    with pytest.raises(ValueError, match=f"'{name}' parameter of OEAutoencoder"):
        tiny(**params).fit(sounds.train)


def test_fits_in_threads_keep_their_seeds(sounds):
    before = torch.get_rng_state()
    fits = (joblib.delayed(tiny().fit)(sounds.train) for _ in range(4))
    offsets = {d.offset_ for d in joblib.Parallel(n_jobs=2, backend="threading")(fits)}
    assert offsets == {tiny().fit(sounds.train).offset_}
    assert torch.equal(torch.get_rng_state(), before)


def test_another_fit_of_the_same_instance_is_another_draw_of_folds(sounds):
    # The folds' seed is drawn after that of the nets: scores do not depend on the calibration.
    state = np.random.RandomState(3)
    plain = tiny(random_state=np.random.RandomState(3)).fit(sounds.train)
    calibrated = tiny(random_state=state, calibration=2).fit(sounds.train)
    np.testing.assert_array_equal(
        plain.score_samples(sounds.test), calibrated.score_samples(sounds.test)
    )


def test_without_a_seed_nothing_is_cached(sounds, tmp_path):
    offsets = [
        tiny(random_state=None, memory=str(tmp_path)).fit(sounds.train).offset_ for _ in "ab"
    ]
    assert offsets[0] != offsets[1]
    assert not list(tmp_path.rglob("output.pkl"))


def test_parameters_set_after_fit_are_checked(sounds):
    detector = tiny().fit(sounds.train).set_params(pooling="median")
    with pytest.raises(ValueError, match="'pooling' parameter"):
        detector.score_samples(sounds.test)


def test_callable_threshold(sounds):
    detector = tiny(threshold=np.median).fit(sounds.train)
    assert detector.offset_ == np.median(detector.score_samples(sounds.train))
    assert np.mean(detector.predict(sounds.train) == -1) == 0.5


def test_random_state_instances(sounds):
    first, second = (
        tiny(random_state=np.random.RandomState(3)).fit(sounds.train).offset_ for _ in "ab"
    )
    assert first == second
    shared = np.random.RandomState(3)
    assert tiny(random_state=shared).fit(sounds.train).offset_ == first
    assert tiny(random_state=shared).fit(sounds.train).offset_ != first


@pytest.mark.filterwarnings("ignore:The clips have 500 frames")
def test_long_clips_score_in_pieces(rng, sounds, monkeypatch):
    detector = tiny().fit(sounds.train)
    (long,) = make_sounds(n_frames=500, n_clips=1).train
    whole = detector.score_samples(long[None])
    maps = detector.anomaly_map(long[None])
    monkeypatch.setattr(OEAutoencoder, "_scoring_batch", 64)
    np.testing.assert_allclose(detector.score_samples(long[None]), whole, rtol=1e-6)
    np.testing.assert_allclose(detector.anomaly_map(long[None]), maps, rtol=1e-4)


def test_another_window_after_fit_is_refused(sounds):
    detector = tiny().fit(sounds.train)
    with pytest.raises(ValueError, match=r"window_length=7, but OEAutoencoder was fitted on .* 5"):
        detector.set_params(window_length=7).score_samples(sounds.test)


def test_faults_among_exposed_clips_are_told(sounds):
    y, exposed = np.ones(12), np.arange(12) >= 9
    y[[3, 10]] = -1
    with pytest.warns(UserWarning, match=r"Exposed clips are labelled -1: 10. They are"):
        tiny(max_epochs=1).fit(sounds.train, y, exposed=exposed)


def test_missing_values_of_exposed_are_named(sounds):
    exposed = pd.array([True, None, *[False] * 9, None], dtype="boolean")
    with pytest.raises(ValueError, match=r"exposed is missing for the clips 1, 11; pass True"):
        tiny().fit(sounds.train, exposed=exposed)


def test_metadata_must_be_aligned(sounds):
    with pytest.raises(ValueError, match=r"domain of shape \(1,\); pass one per clip, \(12,\)"):
        tiny().fit(sounds.train, domain=["source"])


@pytest.mark.parametrize(
    "y", [[1, np.nan, 1, None], pd.Series([1, pd.NA, -1, pd.NA], dtype="Int64")]
)
def test_missing_labels_are_named(y):
    with pytest.raises(ValueError, match=r"no label of the clips 1, 3; write \+1 or -1"):
        check_normal(y, np.zeros(4, dtype=bool))


def test_fit_predict_heeds_labels(sounds):
    X, y = sounds.test, sounds.label
    np.testing.assert_array_equal(tiny().fit_predict(X, y), tiny().fit(X, y).predict(X))


def test_batch_norm_is_settled_on_the_training_data(sounds):
    detector = tiny(max_epochs=1).fit(sounds.train)
    linear, norm = detector.net_.module_.layers[:2]
    windows = np.lib.stride_tricks.sliding_window_view(sounds.train, 5, axis=2)
    stacked = windows.transpose(0, 2, 3, 1).reshape(-1, 160)
    with torch.inference_mode():
        mean = linear(torch.from_numpy(stacked.copy())).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-2, atol=1e-1)


class TestSeeded:
    def test_puts_the_state_back(self):
        def fail():
            with seeded(0, "cpu"):
                torch.rand(3)
                raise RuntimeError("out")

        before = torch.get_rng_state()
        with pytest.raises(RuntimeError, match="out"):
            fail()
        assert torch.equal(torch.get_rng_state(), before)


class TestProgress:
    script = (
        "from sklasd.utils._progress import progress_bar\n"
        "with progress_bar(3, desc='reading', verbose={}) as bar:\n"
        "    if not bar.disable: bar.start_t -= 10\n"
        "    bar.update()\n"
        "    bar.refresh()\n"
    )

    def run_in_terminal(self, verbose):
        master, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (24, 80))
        try:
            command = [sys.executable, "-c", self.script.format(verbose)]
            subprocess.run(command, stderr=terminal, check=True)
            there = select.select([master], [], [], 0)[0]
            return os.read(master, 10000).decode() if there else ""
        finally:
            os.close(master)
            os.close(terminal)

    def test_shows_in_a_terminal(self):
        assert "reading" in self.run_in_terminal(True)

    def test_can_be_hidden(self):
        assert self.run_in_terminal(False) == ""

    def test_is_silent_elsewhere(self, capfd):
        with progress_bar(1, desc="reading") as bar:
            bar.update()
        assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
def test_gpu_and_cpu_agree(sounds):
    on_gpu = tiny(device="cuda").fit(sounds.train)
    scores = on_gpu.score_samples(sounds.test)
    np.testing.assert_array_equal(tiny(device="cuda").fit(sounds.train).offset_, on_gpu.offset_)
    np.testing.assert_allclose(
        on_gpu.set_params(device="cpu").score_samples(sounds.test), scores, rtol=1e-4
    )
