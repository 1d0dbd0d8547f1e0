"""SpectrogramScaler against numpy."""

import numpy as np
import pytest
from sklearn.base import clone

from sklasd.features._scaler import SpectrogramScaler


@pytest.fixture
def X(rng):
    levels = np.linspace(-60, -20, 6)[:, None]
    return (levels + rng.normal(0, 5, size=(10, 6, 30))).astype(np.float32)


@pytest.mark.parametrize("limits", [(0, 1), (-1, 1)])
@pytest.mark.parametrize(("per", "axes"), [("data", None), ("band", (0, 2))])
def test_range(X, limits, per, axes):
    scaled = SpectrogramScaler(feature_range=limits, per=per).fit_transform(X)
    low, high = limits
    np.testing.assert_allclose(scaled.min(axis=axes), low, atol=1e-5)
    np.testing.assert_allclose(scaled.max(axis=axes), high, atol=1e-5)


@pytest.mark.parametrize(("per", "axes"), [("data", None), ("band", (0, 2))])
def test_standard(X, per, axes):
    scaled = SpectrogramScaler(method="standard", per=per).fit_transform(X)
    np.testing.assert_allclose(scaled.mean(axis=axes), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=axes), 1, rtol=1e-5)


@pytest.mark.parametrize("method", ["range", "standard"])
def test_ragged_lists(X, method):
    ragged = [x[:, : 10 + i] for i, x in enumerate(X)]
    scaler = SpectrogramScaler(method=method, per="band").fit(ragged)
    whole = SpectrogramScaler(method=method, per="band").fit(np.concatenate(ragged, axis=1)[None])
    np.testing.assert_allclose(scaler.centre_, whole.centre_, rtol=1e-5)
    np.testing.assert_allclose(scaler.scale_, whole.scale_, rtol=1e-5)
    for x, scaled in zip(ragged, scaler.transform(ragged), strict=True):
        np.testing.assert_array_equal(scaled, scaler.transform(x[None])[0])


@pytest.mark.parametrize("kind", [np.asarray, list, lambda X: [x[:, 5 * (i > 0) :] for i, x in
                                                              enumerate(X)]])  # fmt: skip
def test_layout_and_inverse(X, kind):
    scaler = SpectrogramScaler().fit(X)
    scaled = scaler.transform(kind(X))
    for x, s, back in zip(kind(X), scaled, scaler.inverse_transform(scaled), strict=True):
        assert s.dtype == back.dtype == np.float32
        assert s.T.flags.c_contiguous
        np.testing.assert_allclose(back, x, atol=1e-4)


def test_anomalies_and_exposed_clips_are_left_out(X):
    loud = np.concatenate([X, X[:4] + 50])
    expected = SpectrogramScaler().fit(X)
    y = np.repeat([1, -1], [10, 4])
    for fitted in (
        SpectrogramScaler().fit(loud, y),
        SpectrogramScaler().fit(loud, exposed=y < 0),
    ):
        np.testing.assert_array_equal(fitted.centre_, expected.centre_)
        np.testing.assert_array_equal(fitted.scale_, expected.scale_)
    assert expected.transform(loud).max() > 1  # not clipped


def test_constant_bands_survive(X):
    X[:, 2] = -40
    for method in ("range", "standard"):
        scaled = SpectrogramScaler(method=method, per="band").fit_transform(X)
        assert (scaled[:, 2] == 0).all()
    silence = np.full((3, 4, 5), -100.0)
    assert (SpectrogramScaler(feature_range=(-1, 1)).fit_transform(silence) == -1).all()


def test_input_stays_as_it_is(X):
    before = X.copy()
    X.flags.writeable = False
    clone(SpectrogramScaler()).fit_transform(X)
    np.testing.assert_array_equal(X, before)


def test_errors(X):
    with pytest.raises(ValueError, match=r"feature_range=\(1, 0\)"):
        SpectrogramScaler(feature_range=(1, 0)).fit(X)
    with pytest.raises(ValueError, match="has 5 mel bands"):
        SpectrogramScaler().fit(X).transform(X[:, 1:])
    with pytest.raises(ValueError, match="'method' parameter"):
        SpectrogramScaler(method="log").fit(X)
