"""The threshold: exact quantile, the gamma fit of the baselines, and what happens when it fails."""

import warnings

import numpy as np
import pytest
from scipy import stats

from sklasd.base._threshold import fit_offset


def test_quantile_is_exact(rng):
    scores = rng.normal(size=1000)
    for contamination in (0.01, 0.1, 0.5):
        offset = fit_offset(scores, "quantile", contamination)
        assert np.mean(scores < offset) == contamination


def test_gamma_is_the_baselines_quantile(rng):
    anomaly = stats.gamma.rvs(4, loc=8, scale=0.5, size=500, random_state=1)
    shape, loc, scale = stats.gamma.fit(anomaly)
    offset = fit_offset(-anomaly, "gamma", 0.1)
    assert offset == pytest.approx(-stats.gamma.ppf(0.9, shape, loc, scale), rel=1e-3)
    assert offset == pytest.approx(-stats.gamma.ppf(0.9, 4, 8, 0.5), rel=0.02)


def test_gamma_of_a_crowd_and_a_few_far_off():
    # scipy's own start ends in a fit that puts 88 % of these beyond the threshold.
    crowd = np.round(370 + 25 * np.sin(np.arange(55)))
    anomaly = np.concatenate([crowd, [224, 472, 617, 765, 1210]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        offset = fit_offset(-anomaly)
    assert np.mean(anomaly > -offset) == pytest.approx(0.05)
    assert offset == pytest.approx(-stats.gamma.ppf(0.9, *stats.gamma.fit(anomaly)), rel=1e-3)


def test_gamma_of_a_crowd_and_one_very_far_off():
    # Of many of these the fit would put the offset between the crowd and the one: no alarm ever.
    for seed in range(10):
        rng = np.random.default_rng(seed)
        scores = np.append(-rng.normal(size=99), -rng.uniform(8, 30))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            offset = fit_offset(scores, "gamma", 0.1)
        assert 0.04 <= np.mean(scores < offset) <= 0.16


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_gamma_does_not_depend_on_the_unit(rng, scale):
    scores = -rng.gamma(3, size=200)
    assert fit_offset(scale * scores) == pytest.approx(scale * fit_offset(scores), rel=1e-6)


def test_negative_anomaly_scores_are_fine(rng):
    scores = 5 - rng.gamma(3, size=200)
    assert np.mean(scores < fit_offset(scores)) == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (np.ones(50), "is not defined, as all are equal"),
        (np.array([1.0, 2.0, 3.0]), "3 scores needs at least 10"),
        (np.r_[np.zeros(20), -np.ones(9)], "degenerated"),
    ],
)
def test_falls_back_to_the_quantile_and_says_so(scores, words):
    with pytest.warns(UserWarning, match=words):
        offset = fit_offset(scores, "gamma", 0.1)
    assert offset == fit_offset(scores, "quantile", 0.1)


def test_sound_scores_give_no_warning(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(20):
            draw = np.random.default_rng(seed)
            fit_offset(-draw.gamma(3, size=100) - 5)
            fit_offset(draw.normal(size=100))


def test_callable(rng):
    scores = rng.normal(size=50)
    assert fit_offset(scores, np.median) == np.median(scores)
    with pytest.raises(ValueError, match="returned nan; it must be finite"):
        fit_offset(scores, lambda s: np.nan)
