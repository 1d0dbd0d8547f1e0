"""Statistics of clips against numpy and closed forms, and their names."""

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklasd import ClipStatistics, LogMel, MahalanobisDetector

ALL = (
    "quantiles", "mean", "deviation", "ranked_mean", "shape", "autocorrelation", "modulation",
)  # fmt: skip
X = np.random.default_rng(0).normal(-40, 5, (4, 6, 70)).astype(np.float32)


def block(statistic, clips=X, **settings):
    """Return a statistic as (n_clips, n_numbers, n_mels)."""
    values = ClipStatistics(statistic, **settings).transform(clips)
    return values.reshape(len(clips), -1, clips[0].shape[0])


class TestValues:
    def test_quantiles_are_numpys(self):
        levels = (0.0, 0.05, 0.33, 0.5, 1.0)
        expected = np.quantile(X.astype(float), levels, axis=2).transpose(1, 0, 2)
        np.testing.assert_allclose(block("quantiles", quantiles=levels), expected, rtol=1e-6)

    def test_mean_and_deviation(self):
        np.testing.assert_allclose(block("mean")[:, 0], X.mean(axis=2), rtol=1e-6)
        np.testing.assert_allclose(block("deviation")[:, 0], X.std(axis=2), rtol=1e-5)

    @pytest.mark.parametrize(("decay", "name"), [(1, "mean"), (0, "max")])
    def test_ends_of_the_ranked_mean(self, decay, name):
        expected = getattr(X, name)(axis=2)
        np.testing.assert_allclose(block("ranked_mean", decay=decay)[:, 0], expected, rtol=1e-6)

    def test_ranked_mean_between(self):
        ordered = -np.sort(-X.astype(float), axis=2)
        expected = (0.5 ** np.arange(70) * ordered).sum(axis=2) / (0.5 ** np.arange(70)).sum()
        np.testing.assert_allclose(block("ranked_mean", decay=0.5)[:, 0], expected, rtol=1e-6)

    def test_shape_knows_no_level(self):
        np.testing.assert_allclose(block("shape", X + 13), block("shape"), atol=1e-4)
        np.testing.assert_allclose(block("shape").sum(axis=2), 0, atol=1e-4)
        without = X - X.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(block("shape")[:, 0], without.mean(axis=2), atol=1e-4)

    def test_autocorrelation(self):
        x = X[0, 0].astype(float) - X[0, 0].mean(dtype=float)
        expected = [np.correlate(x, x, "full")[69 + lag] / (x @ x) for lag in (1, 5)]
        np.testing.assert_allclose(block("autocorrelation", lags=(1, 5))[0, :, 0], expected, 1e-4)

    def test_autocorrelation_of_what_repeats_and_of_what_is_still(self):
        beat = np.tile([0.0, 0.0, 0.0, 8.0], 25)[None, None].astype(np.float32)
        repeated = block("autocorrelation", beat, lags=(1, 4))[0, :, 0]
        assert repeated[1] == pytest.approx(0.96)  # 24 of 25 beats overlap
        assert repeated[0] < 0
        assert (block("autocorrelation", np.full_like(beat, -60), lags=(1, 4)) == 0).all()

    def test_still_bands_of_any_level(self):
        levels = np.random.default_rng(0).uniform(-95, -20, (200, 1, 1)).astype(np.float32)
        assert (block("autocorrelation", np.tile(levels, (1, 1, 313))) == 0).all()

    def test_modulation_peaks_at_the_rate_of_the_beat(self):
        frames = np.arange(256)
        beat = 5 * np.sin(2 * np.pi * frames / 8)[None, None].astype(np.float32)
        names = ClipStatistics("modulation").fit(beat).get_feature_names_out()
        loudest = names[block("modulation", beat)[0, :, 0].argmax()]
        assert float(loudest.removeprefix("band0_modulation_")) == pytest.approx(1 / 8, abs=0.01)

    def test_clips_of_any_length_each_by_itself(self):
        clips = [X[0], X[1][:, :40], X[2][:, :17]]
        together = ClipStatistics(ALL).transform(clips)
        for clip, row in zip(clips, together, strict=True):
            np.testing.assert_array_equal(ClipStatistics(ALL).transform(clip[None])[0], row)

    def test_layout_in_memory_does_not_matter(self):
        other = np.ascontiguousarray(X.transpose(0, 2, 1)).transpose(0, 2, 1)
        np.testing.assert_array_equal(
            ClipStatistics(ALL).transform(other), ClipStatistics(ALL).transform(X)
        )


class TestNames:
    def test_in_hz_behind_log_mel(self):
        pipeline = make_pipeline(LogMel(n_mels=8), ClipStatistics(("mean", "quantiles")))
        names = pipeline.fit(
            np.random.default_rng(0).normal(size=(2, 16000))
        ).get_feature_names_out()
        assert len(names) == 4 * 8
        hz = [f"{f:.0f}Hz" for f in LogMel(n_mels=8).mel_frequencies]
        assert list(names[:8]) == [f"{f}_mean" for f in hz]
        assert names[-1] == f"{hz[-1]}_q0.95"

    def test_of_a_table(self):
        statistics = ClipStatistics(ALL, frequencies=np.arange(6) * 100.0)
        table = statistics.set_output(transform="pandas").fit_transform(X)
        assert table.columns[6] == "0Hz_q0.5"
        assert table.columns.is_unique
        assert table.shape == (4, 6 * (3 + 4 + 5) + block("modulation").shape[1] * 6)
        np.testing.assert_array_equal(table["100Hz_mean"], block("mean")[:, 0, 1])


class TestWithScikitLearn:
    def test_detectors_and_column_tools_follow(self):
        rng = np.random.default_rng(1)
        clips = rng.normal(-40, 5, (40, 6, 70)).astype(np.float32)
        pipeline = make_pipeline(
            ClipStatistics(), StandardScaler(), IsolationForest(random_state=0)
        )
        assert pipeline.fit(clips).score_samples(clips).shape == (40,)
        both = FeatureUnion([("a", ClipStatistics("mean")), ("b", ClipStatistics("shape"))])
        rows = both.fit_transform(clips)
        low = ColumnTransformer([("low", "passthrough", slice(0, 3))])
        detector = make_pipeline(both, low, MahalanobisDetector()).fit(clips)
        assert rows.shape == (40, 12)
        assert detector[-1].n_features_in_ == 3


class TestSpread:
    @pytest.mark.parametrize("statistic", ALL)
    def test_the_sum_over_a_map_is_the_sum_of_the_shares(self, statistic):
        statistics = ClipStatistics(statistic)
        rows = statistics.transform(X)
        shares = np.random.default_rng(0).random(rows.shape)
        maps = statistics.spread(X, shares, np.median(rows, axis=0))
        assert [m.shape for m in maps] == [x.shape for x in X]
        np.testing.assert_allclose([m.sum() for m in maps], shares.sum(axis=1), rtol=1e-5)
        assert all((m >= 0).all() for m in maps)

    def test_a_burst_gets_the_share_of_its_band(self):
        clip = X[0].copy()
        clip[2, 30:40] += 40
        statistics = ClipStatistics("quantiles")
        typical = np.quantile(X[1:], (0.05, 0.5, 0.95), axis=(0, 2)).ravel()
        shares = np.zeros((1, 18))
        shares[0, 12 + 2] = 1.0  # the 95 % quantile of band 2
        (where,) = statistics.spread(clip[None], shares, typical)
        assert where[2, 30:40].sum() > 0.95
        assert np.delete(where, 2, axis=0).sum() == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"statistics": ("quantiles", "median")}, "statistics=.*, each once, of quantiles, mean"),
        ({"statistics": ("mean", "mean")}, "each once"),
        ({"statistics": ()}, "each once"),
        ({"quantiles": (0.5, 0.5)}, "each once"),
        ({"quantiles": (0.5, 5)}, r"quantiles=\(0.5, 5\); pass numbers from 0 to 1"),
        ({"lags": (0, 1)}, r"lags=\(0, 1\); pass whole numbers"),
        ({"decay": 2}, "decay"),
        ({"frequencies": [1.0, 2.0]}, "2 frequencies for 6 mel bands"),
    ],
)
def test_bad_parameters(settings, words):
    with pytest.raises(ValueError, match=words):
        ClipStatistics(**settings).fit(X).get_feature_names_out()


def test_clips_too_short_are_named():
    with pytest.raises(ValueError, match=r"clip 1 has only 9 frames; record longer clips, or pass"):
        ClipStatistics("autocorrelation").transform([X[0], X[1][:, :9]])
    with pytest.raises(ValueError, match=r"clip 2 \(NaN\)"):
        ClipStatistics().transform(np.where(np.arange(4)[:, None, None] == 2, np.nan, X))


def test_nothing_else_is_computed_for_rows_of_numbers():
    rows = FunctionTransformer().fit_transform(X[:, :, 0])
    with pytest.raises(ValueError, match="n_mels, n_frames"):
        ClipStatistics().transform(rows)
