"""OEAutoencoder against the official baseline's numbers and its scores worked out by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from sklasd import OEAutoencoder
from sklasd.nets._dense_autoencoder import DenseAutoencoder
from sklasd.testing import make_sounds


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
        with pytest.raises(ValueError, match=r"Got no domain of the normal clips \[19\]"):
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
