"""OEAutoencoder against the official baseline's numbers and its scores worked out by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from sklasd import LogMel, OEAutoencoder, make_recipe
from sklasd.base import TrainingClips
from sklasd.losses import MarginExposure, MeanSquaredError, SquashedExposure
from sklasd.nets._dense_autoencoder import DenseAutoencoder
from sklasd.testing import detector_checks, make_sounds
from sklasd.training import Spectrograms, cut_windows
from sklasd.training._train_net import train_net
from sklasd.training._window_net import window_net
from sklasd.utils._validation import draw_seed


class TestNet:
    def test_the_baselines_layers(self):
        net = DenseAutoencoder()
        linear = [m for m in net.layers if isinstance(m, torch.nn.Linear)]
        norms = [m for m in net.layers if isinstance(m, torch.nn.BatchNorm1d)]
        widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
        assert [m.in_features for m in linear] + [linear[-1].out_features] == widths
        assert sum(p.numel() for p in net.parameters()) == 267_928
        assert len(norms) == 9
        assert {(m.momentum, m.eps) for m in norms} == {(0.01, 1e-3)}
        assert isinstance(net.layers[-1], torch.nn.Linear)

    def test_frames_enter_oldest_first(self):
        net = DenseAutoencoder(n_mels=3, window_length=2, hidden_layer_sizes=(), latent_features=6)
        net.eval()
        x = torch.randn(4, 3, 2)
        by_hand = net.layers(torch.cat([x[:, :, 0], x[:, :, 1]], dim=1))
        torch.testing.assert_close(net(x)[:, :, 0], by_hand[:, :3])
        torch.testing.assert_close(net(x)[:, :, 1], by_hand[:, 3:])


def test_training_starts_at_the_mean_window():
    mean = torch.randn(3, 2)
    net = DenseAutoencoder(3, 2, hidden_layer_sizes=(4,), latent_features=2).eval()
    net.fill(mean)
    with torch.no_grad():
        net.layers[-1].weight.zero_()
        assert torch.equal(net(torch.randn(5, 3, 2)), mean.expand(5, 3, 2))


def test_defaults_are_the_baselines():
    params = OEAutoencoder().get_params()
    expected = {"window_length": 5, "hop": 1, "lr": 1e-3, "batch_size": 512, "max_epochs": 100}
    expected |= {
        "threshold": "gamma",
        "contamination": 0.1,
        "calibration": "auto",
        "anomaly_score": "reconstruction",
    }
    assert expected.items() <= params.items()


@pytest.fixture(scope="module")
def fitted():
    sounds = make_sounds(n_mels=8, n_frames=12, n_clips=20)
    domain = np.repeat(["source", "target"], 10)
    train = sounds.train + np.where(domain == "target", 5, 0)[:, None, None]
    detector = OEAutoencoder(
        hidden_layer_sizes=(16,), latent_features=2, batch_size=32, max_epochs=20, random_state=0,
        threshold="quantile", calibration=None,
    )  # fmt: skip
    return detector.fit(train, domain=domain), train, domain, sounds.test


def residuals(detector, X):
    """Return input minus reconstruction of every window, (n_clips, n_windows, length, n_mels)."""
    windows = np.lib.stride_tricks.sliding_window_view(X, 5, axis=2)  # clip, mel, window, frame
    windows = np.moveaxis(windows, 1, 2).astype(np.float32)  # clip, window, mel, frame
    net = detector.net_.module_
    with torch.inference_mode():
        rebuilt = np.stack([net(torch.from_numpy(w.copy())).numpy() for w in windows])
    return np.moveaxis(windows - rebuilt, 2, 3).astype(np.float64)


class TestScores:
    def test_reconstruction_is_the_mean_squared_error(self, fitted):
        detector, _, _, X = fitted
        errors = (residuals(detector, X) ** 2).mean(axis=(2, 3))
        table = detector.score_table(X)
        for pooling in ("mean", "max", "min"):
            expected = -getattr(errors, pooling)(axis=1)
            np.testing.assert_allclose(table[f"reconstruction_{pooling}"], expected, rtol=1e-5)

    def test_mahalanobis_by_hand(self, fitted):
        detector, train, domain, X = fitted
        per_frame, of_mean = [], []
        for name in ("source", "target"):
            frames = residuals(detector, train[domain == name]).reshape(-1, 8)
            covariance = np.cov(frames, rowvar=False, bias=True)
            covariance += 1e-6 * np.trace(covariance) / 8 * np.eye(8)
            precision = np.linalg.inv(covariance)
            d = residuals(detector, X)
            lengths = np.einsum("cwfi,ij,cwfj->cwf", d, precision, d).mean(axis=2)
            mean = d.mean(axis=(1, 2))
            per_frame.append(lengths)
            of_mean.append(np.einsum("ci,ij,cj->c", mean, precision, mean))
        table = detector.score_table(X)
        expected = -np.minimum(*of_mean)
        np.testing.assert_allclose(table["mahalanobis_of_mean"], expected, rtol=1e-3)
        for pooling in ("mean", "max", "min"):
            pooled = [getattr(lengths, pooling)(axis=1) for lengths in per_frame]
            expected = -np.minimum(*pooled)
            np.testing.assert_allclose(table[f"mahalanobis_{pooling}"], expected, rtol=1e-3)

    def test_official_matrix_form_is_the_mean_residual(self, fitted):
        # The official code averages all entries of the matrix of d_i' P d_j over a clip's frames.
        d = np.random.default_rng(0).normal(0.5, 1, size=(30, 8))
        precision = np.linalg.inv(np.cov(d, rowvar=False))
        matrix = d @ precision @ d.T
        assert matrix.mean() == pytest.approx(d.mean(axis=0) @ precision @ d.mean(axis=0))

    def test_domains(self, fitted):
        detector, train, _, X = fitted
        assert detector.domains_ == ("source", "target")
        assert detector.whitening_.shape == (2, 8, 8)
        alone = OEAutoencoder(
            hidden_layer_sizes=(16,), max_epochs=1, calibration=None, random_state=0
        ).fit(train)
        assert alone.domains_ == ("source",)
        only = OEAutoencoder(
            hidden_layer_sizes=(16,), max_epochs=1, calibration=None, random_state=0
        )
        only.fit(train, domain=["target"] * 20)
        assert only.domains_ == ("target",)
        np.testing.assert_array_equal(only.score_table(X), alone.score_table(X))
        with pytest.raises(ValueError, match=r"domains \['sauce'\]; they are"):
            alone.fit(train, domain=["sauce"] * 20)
        missing = pd.Series(["source"] * 19 + [pd.NA], dtype="string")
        with pytest.raises(ValueError, match=r"Got no domain of the normal clips 19"):
            alone.fit(train, domain=missing)

    def test_map_by_hand(self, fitted):
        detector, train, _, X = fitted
        power = (residuals(detector, train) ** 2).mean(axis=(0, 1, 2))
        np.testing.assert_allclose(detector.residual_power_, power, rtol=1e-4)
        total, count = np.zeros_like(X, dtype=float), np.zeros(X.shape[2])
        for start, window in enumerate(np.moveaxis(residuals(detector, X) ** 2, 1, 0)):
            total[:, :, start : start + 5] += np.moveaxis(window, 1, 2)
            count[start : start + 5] += 1
        expected = total / count / power[:, None]
        np.testing.assert_allclose(detector.anomaly_map(X), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("sizes", [(16, "a"), (0,), (-4,), (1.5,)])
def test_bad_layers_are_told(fitted, sizes):
    with pytest.raises(ValueError, match="pass whole numbers from 1 on"):
        OEAutoencoder(hidden_layer_sizes=sizes).fit(fitted[1])


def test_finds_a_band_that_fails():
    sounds = make_sounds(n_mels=32, n_frames=60)
    detector = OEAutoencoder(
        hidden_layer_sizes=(32,), batch_size=64, max_epochs=30, lr=1e-2, random_state=0
    ).fit(sounds.train)
    for score, column in detector.score_table(sounds.test).items():
        auc = roc_auc_score(sounds.label, column)
        assert auc > (0.5 if score.endswith("min") else 0.9), score


def small(**params):
    settings = {
        "hidden_layer_sizes": (16,), "latent_features": 2, "batch_size": 32, "max_epochs": 5,
        "lr": 1e-2, "threshold": "quantile", "calibration": None, "random_state": 0,
    }  # fmt: skip
    return OEAutoencoder(**settings | params)


LOSSES = {
    "squashed": {"exposure_loss": "squashed"},
    "margin": {"exposure_loss": "margin", "exposure_margin": 2.0},
}


@pytest.fixture(scope="module")
def machines():
    """Make noise, louder in some clips than in others: what a plain autoencoder's error tells.

    Other machines have another spectrum, and so has the fault, if only by 2 dB.
    """
    rng = np.random.default_rng(0)
    spectrum = rng.choice([-1.0, 1.0], (16, 1))

    def clips(n_clips, colour=0.0):
        noise = rng.normal(0, 1, (n_clips, 16, 30)) * rng.uniform(1, 4, (n_clips, 1, 1))
        colour = np.broadcast_to(colour, n_clips)[:, None, None]
        return (noise + colour * spectrum - 50).astype(np.float32)

    return clips(20), clips(12, rng.uniform(2, 6, 12)), clips(20), clips(20, 2.0)


def exposing(own, others):
    return np.concatenate([own, others]), np.arange(len(own) + len(others)) >= len(own)


class TestPlain:
    def test_without_exposed_clips_bit_for_bit(self, machines):
        own, _, test, _ = machines
        windows = cut_windows(Spectrograms.stack(own), 5, 1)
        net = window_net(
            DenseAutoencoder, criterion=MeanSquaredError, lr=1e-2, batch_size=32, max_epochs=5,
            device="cpu", module__n_mels=16, module__window_length=5,
            module__hidden_layer_sizes=(16,), module__latent_features=2,
            filling={"mean": windows.mean().numpy()},
        )  # fmt: skip
        by_hand = train_net(net, windows, draw_seed(0), verbose=False, key="").module_.state_dict()
        unused = np.zeros(len(own), dtype=bool)
        plain = small(device="cpu").fit(own)
        for params in ({}, {"exposure_weight": 9.0}, LOSSES["margin"]):
            detector = small(device="cpu", **params).fit(own, exposed=unused)
            for name, weight in detector.net_.module_.state_dict().items():
                assert torch.equal(weight, by_hand[name]), name
            np.testing.assert_array_equal(detector.score_table(test), plain.score_table(test))
            assert detector.offset_ == plain.offset_


class TestExposure:
    def test_as_many_exposed_windows_as_normal_ones_from_all_their_clips(self, machines):
        own, others, *_ = machines
        for n_own, n_others in ((20, 3), (2, 12)):
            X, exposed = exposing(own[:n_own], others[:n_others])
            detector = small().fit(X, exposed=exposed)
            clips = TrainingClips.gather(Spectrograms.stack(X), exposed=exposed)
            windows = detector._mixed_windows(clips)
            n_windows = n_own * 26
            assert len(windows) == 2 * n_windows
            assert windows.clip[:n_windows].tolist() == np.repeat(range(n_own), 26).tolist()
            assert windows.targets.tolist() == [False] * n_windows + [True] * n_windows
            counts = np.bincount(windows.clip[n_windows:])[n_own:]
            assert counts.size == n_others
            assert np.ptp(counts) <= 1

    @pytest.mark.parametrize("loss", LOSSES)
    def test_the_loss_and_its_scale(self, machines, loss):
        own, others, *_ = machines
        X, exposed = exposing(own, others)
        net = small(exposure_weight=0.25, **LOSSES[loss]).fit(X, exposed=exposed).net_
        windows = np.lib.stride_tricks.sliding_window_view(own, 5, axis=2)
        assert isinstance(net.criterion_, (MarginExposure, SquashedExposure))
        assert net.criterion_.weight == 0.25
        assert net.criterion_.scale == pytest.approx(windows.var(axis=(0, 2)).mean(), rel=1e-4)
        assert (getattr(net.criterion_, "margin", None) == 2.0) == (loss == "margin")
        np.testing.assert_allclose(net.filling["mean"], windows.mean(axis=(0, 2)), rtol=1e-4)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_what_is_like_the_exposed_clips_is_found(self, machines, loss):
        own, others, normal, faulty = machines
        X, exposed = exposing(own, others)
        label = np.repeat([1, -1], [len(normal), len(faulty)])
        plain = small(max_epochs=40).fit(own)
        taught = small(max_epochs=20, **LOSSES[loss]).fit(X, exposed=exposed)
        without, auc = (
            roc_auc_score(label, detector.score_samples(np.concatenate([normal, faulty])))
            for detector in (plain, taught)
        )
        assert without < 0.87
        assert auc > 0.97

    @pytest.mark.parametrize("loss", LOSSES)
    def test_exposed_clips_are_learnt_from_and_nothing_else_is_taken_of_them(self, machines, loss):
        own, others, test, _ = machines
        X, exposed = exposing(own, others)
        domain = np.where(exposed, "elsewhere", "source")
        detector = small(**LOSSES[loss]).fit(X, exposed=exposed, domain=domain)
        assert not np.array_equal(
            detector.score_samples(test), small().fit(own).score_samples(test)
        )
        assert detector.domains_ == ("source",)
        scores = detector.score_samples(own)
        np.testing.assert_array_equal(detector.calibration_scores_, scores)
        d = residuals(detector, own).reshape(-1, 16)
        np.testing.assert_allclose(detector.residual_power_, (d**2).mean(axis=0), rtol=1e-4)
        covariance = np.cov(d, rowvar=False, bias=True)
        covariance += 1e-6 * np.trace(covariance) / 16 * np.eye(16)
        whitening = detector.whitening_[0].astype(float)
        np.testing.assert_allclose(
            whitening @ whitening.T, np.linalg.inv(covariance), rtol=1e-2, atol=1e-4
        )

    def test_labels_of_exposed_clips_do_not_matter(self, machines):
        own, others, test, _ = machines
        X, exposed = exposing(own, others)
        plain = small().fit(X, exposed=exposed)
        with pytest.warns(UserWarning, match="Exposed clips are labelled -1"):
            labelled = small().fit(X, np.where(exposed, -1, 1), exposed=exposed)
        np.testing.assert_array_equal(labelled.score_table(test), plain.score_table(test))

    def test_silent_exposed_clips_are_left_out(self, machines):
        own, _, test, _ = machines
        X, exposed = exposing(own, np.full((2, 16, 30), -60, dtype=np.float32))
        with pytest.warns(UserWarning, match="clips 20, 21 have no sound"):
            detector = small().fit(X, exposed=exposed)
        plain = small().fit(own)
        np.testing.assert_array_equal(detector.score_table(test), plain.score_table(test))

    def test_exposed_clips_of_another_length(self, machines):
        own, others, test, _ = machines
        X = [*own, *(x[:, :11] for x in others)]
        detector = small().fit(X, exposed=np.arange(len(X)) >= len(own))
        assert np.isfinite(detector.score_samples(test)).all()
        X[-1] = X[-1][:, :4]
        with pytest.raises(ValueError, match="clip 31 has only 4 frames"):
            small().fit(X, exposed=np.arange(len(X)) >= len(own))

    def test_bad_input(self, machines):
        own, others, *_ = machines
        with pytest.raises(ValueError, match=r"no normal clip \(all are labelled -1 or exposed\)"):
            small().fit(own, exposed=np.ones(len(own), dtype=bool))
        with pytest.raises(ValueError, match=r"needs_exposed=True, but none of 20 samples is"):
            small(needs_exposed=True).fit(own)
        X, exposed = exposing(own, others)
        assert small(needs_exposed=True).fit(X, exposed=exposed).nets_

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("exposure_loss", "mean"),
            ("exposure_weight", 0),
            ("exposure_margin", -1.0),
            ("needs_exposed", "yes"),
        ],
    )
    def test_bad_parameters(self, machines, name, value):
        with pytest.raises(ValueError, match=f"The '{name}' parameter"):
            small(**{name: value}).fit(machines[0])

    def test_recipe(self):
        logmel, detector = make_recipe("oe-autoencoder")
        assert repr(logmel) == repr(LogMel())
        assert repr(detector) == repr(OEAutoencoder(needs_exposed=True))


def every_third(n_clips):
    return {"exposed": np.arange(n_clips) % 3 == 2}


CONTRACT = (  # of what exposed clips could break; test_common runs all without them
    "check_identities", "check_company_does_not_matter", "check_anomalies_are_left_out",
    "check_exposed_set_no_threshold", "check_calibration_changes_no_score",
    "check_calibration_is_out_of_fold", "check_fresh_process", "check_training_learns",
    "check_seeds", "check_memory_trains_once",
)  # fmt: skip


@pytest.mark.parametrize("name", CONTRACT)
def test_contract(name):
    dict(detector_checks(small(), fit_metadata=every_third))[name]()
