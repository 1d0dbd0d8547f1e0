"""Statistics, a back end, and where the distance comes from."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline as pipeline_of
from sklearn.preprocessing import StandardScaler

from sklasd import (
    ClipStatistics,
    GaussianMixtureDetector,
    KNNDetector,
    LogMel,
    MahalanobisDetector,
    StatisticsDetector,
    make_pipeline,
)
from sklasd.base import TrainingClips
from sklasd.datasets import make_machine_clips


@pytest.fixture(scope="module")
def fan():
    waves, table = make_machine_clips("fan", duration=2.0, n_train=40, random_state=0)
    is_train = (table["split"] == "train").to_numpy()
    X = LogMel(n_fft=2048, n_mels=64).transform(waves)
    return X[is_train], X[~is_train], table["label"].to_numpy()[~is_train]


def tone(n_clips, seed, band=None):
    """Noise of 16 bands, in one of which a steady tone may be."""
    X = np.random.default_rng(seed).normal(-40, 3, (n_clips, 16, 60)).astype(np.float32)
    if band is not None:
        X[:, band] += 12
    return X


def test_it_is_what_its_parts_are(fan):
    train, test, _ = fan
    distance = MahalanobisDetector(covariance="shrunk", per_domain=False, calibration=None)
    parts = pipeline_of(ClipStatistics("shape"), StandardScaler(), distance).fit(train)
    detector = StatisticsDetector("shape").fit(train)
    np.testing.assert_allclose(detector.score_samples(test), parts.score_samples(test), rtol=1e-9)


def test_faults_are_found(fan):
    train, test, label = fan
    detector = StatisticsDetector().fit(train)
    assert roc_auc_score(label, detector.score_samples(test)) > 0.8


def test_calibration_leaves_each_clip_out(fan):
    train, _, _ = fan
    detector = StatisticsDetector().fit(train)
    assert len(detector.calibration_scores_) == len(train)
    without = StatisticsDetector(calibration=None).fit(np.delete(train, 7, axis=0))
    assert detector.calibration_scores_[7] == without.score_samples(train[[7]])[0]
    slow = StatisticsDetector(backend=GaussianMixtureDetector(random_state=0))
    assert slow._auto_calibration(TrainingClips.gather(np.zeros((9, 2)))) == "few folds"


def test_changes_after_a_fit_wait_for_the_next(fan):
    train, test, _ = fan
    detector = StatisticsDetector("mean").fit(train)
    scores = detector.score_samples(test)
    detector.set_params(statistics="shape")
    np.testing.assert_array_equal(detector.score_samples(test), scores)
    assert not np.array_equal(detector.fit(train).score_samples(test), scores)


def test_bad_parameters_of_the_back_end_are_told_first():
    bad = StatisticsDetector(backend=pipeline_of(StandardScaler(), KNNDetector(metric="far")))
    with pytest.raises(ValueError, match="metric"):
        bad.check_params()


class TestContributions:
    @pytest.mark.parametrize(
        "backend",
        [None, MahalanobisDetector(), pipeline_of(StandardScaler(), MahalanobisDetector())],
    )
    def test_they_add_up_to_the_distance(self, fan, backend):
        train, test, _ = fan
        detector = StatisticsDetector(backend=backend).fit(train)
        shares = detector.contributions(test)
        assert shares.shape == (len(test), 3 * 64)
        assert (shares >= 0).all()
        np.testing.assert_allclose(shares.sum(axis=1), -detector.score_samples(test), rtol=1e-10)

    def test_per_domain_they_are_those_of_the_nearest(self):
        rng = np.random.default_rng(0)
        domain = np.repeat(["source", "target"], 30)
        X = rng.normal(size=(60, 5)) + 9 * (domain == "target")[:, None]
        detector = MahalanobisDetector(calibration=None).fit(X, domain=domain)
        new = rng.normal(size=(7, 5)) + 4
        np.testing.assert_allclose(
            detector.contributions(new).sum(axis=1), -detector.score_samples(new), rtol=1e-10
        )

    def test_of_independent_features_they_are_their_squares(self):
        X = np.random.default_rng(0).normal(size=(5000, 3)) * [1, 2, 3]
        detector = MahalanobisDetector(covariance="sample").fit(X)
        share = detector.contributions([[3.0, 2.0, 0.0]])[0]
        np.testing.assert_allclose(share, np.array([9, 1, 0]) / np.sqrt(10), atol=0.1)

    def test_a_planted_tone_is_found_in_its_band(self):
        detector = StatisticsDetector().fit(tone(40, 0))
        new = tone(8, 1, band=5)
        by_band = detector.contributions(new).reshape(8, 3, 16).sum(axis=1)
        assert (by_band.argmax(axis=1) == 5).all()
        assert (by_band[:, 5] > 0.8 * by_band.sum(axis=1)).all()

    def test_of_the_likeliest_gaussian(self):
        rng = np.random.default_rng(0)
        X = np.concatenate([rng.normal(m, 1, (50, 4)) for m in (-20, 20)])
        detector = GaussianMixtureDetector(random_state=0).fit(X)
        share = detector.contributions([[20.0, 20, 20, 25], [-25.0, -20, -20, -20]])
        assert share.argmax(axis=1).tolist() == [3, 0]

    def test_back_ends_that_tell_nothing(self, fan):
        train, test, _ = fan
        detector = StatisticsDetector(backend=IsolationForest(random_state=0)).fit(train)
        assert np.isfinite(detector.score_samples(test)).all()
        assert not hasattr(detector, "contributions")
        assert not hasattr(detector, "anomaly_map")
        assert not hasattr(StatisticsDetector(backend=KNNDetector()), "anomaly_map")
        mixing = pipeline_of(PCA(5), MahalanobisDetector())
        assert not hasattr(StatisticsDetector(backend=mixing), "contributions")


class TestMap:
    @pytest.mark.parametrize("statistics", ["quantiles", "shape", ("mean", "autocorrelation")])
    def test_its_sum_is_the_distance(self, fan, statistics):
        train, test, _ = fan
        detector = StatisticsDetector(statistics).fit(train)
        where = detector.anomaly_map(test)
        assert where.shape == test.shape
        total = where.sum(axis=(1, 2), dtype=float)
        np.testing.assert_allclose(total, -detector.score_samples(test), rtol=1e-5)

    def test_a_burst_is_found_in_time_and_frequency(self):
        detector = StatisticsDetector().fit(tone(40, 0))
        new = tone(1, 1)
        new[0, 5:8, 20:30] += 15
        where = detector.anomaly_map(new)[0]
        assert where[5:8, 20:30].mean() > 20 * where.mean()


@pytest.mark.slow
def test_stationary_faults_are_located():
    from librosa import mel_frequencies

    edges = mel_frequencies(130, fmin=0, fmax=8000)
    found = []
    for kind in ("fan", "bearing"):
        waves, table = make_machine_clips(
            kind, n_train=40, n_test=0, n_anomalies=20, duration=3.0, random_state=1,
            faults=["imbalance", "bearing_defect"],
        )  # fmt: skip
        is_train = (table["split"] == "train").to_numpy()
        pipeline = make_pipeline(LogMel(n_fft=2048), StatisticsDetector()).fit(waves[is_train])
        maps = pipeline[-1].anomaly_map(pipeline[0].transform(waves[~is_train]))
        for where, boxes in zip(maps, table["regions"][~is_train], strict=True):
            inside = np.zeros(128, dtype=bool)
            for _, _, low, high in boxes:
                inside |= (edges[2:] > low) & (edges[:-2] < high)
            found.append(where[inside].mean() >= 2 * where[~inside].mean())
    assert np.mean(found) >= 0.7


def test_domains_reach_a_back_end_that_asks():
    X = np.concatenate([tone(20, 0), tone(20, 1) + 20])
    domain = np.repeat(["source", "target"], 20)
    detector = StatisticsDetector("mean", backend=MahalanobisDetector())
    assert detector.fit(X, domain=domain).backend_.domains_.tolist() == ["source", "target"]


class TestGaussianMixture:
    def test_the_score_is_the_density_of_the_likeliest(self):
        from scipy.stats import multivariate_normal
        from sklearn.mixture import GaussianMixture

        X = np.concatenate([np.random.default_rng(m).normal(30 * m, 1, (40, 3)) for m in range(2)])
        detector = GaussianMixtureDetector(n_components=2, reg_covar=1e-6, random_state=0).fit(X)
        known = GaussianMixture(2, random_state=0).fit(X)
        parts = zip(known.means_, known.covariances_, strict=True)
        expected = np.max([multivariate_normal(m, c).logpdf(X) for m, c in parts], axis=0)
        np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-4)

    def test_fewer_clips_than_features(self):
        X = np.random.default_rng(0).normal(size=(30, 100))
        detector = GaussianMixtureDetector(random_state=0).fit(X)
        assert np.isfinite(detector.whitening_).all()
        assert np.mean(detector.decide(detector.score_samples(X[:10] + 3)) == -1) == 1

    def test_number_of_components(self):
        X = np.concatenate([np.random.default_rng(m).normal(30 * m, 1, (30, 3)) for m in range(4)])
        assert GaussianMixtureDetector(random_state=0).fit(X).n_components_ == 4
        assert GaussianMixtureDetector(random_state=0).fit(X[:15]).n_components_ == 1
        with pytest.raises(ValueError, match="5 sample of normal clips for n_components=8"):
            GaussianMixtureDetector(n_components=8, calibration=None).fit(X[:5])


def test_its_statistics_are_fitted():
    X = np.random.default_rng(0).normal(size=(12, 4, 30))
    detector = StatisticsDetector(("mean", "shape")).fit(X)
    names = detector.statistics_.get_feature_names_out()
    assert len(names) == detector.contributions(X[:1]).shape[1]
