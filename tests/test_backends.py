"""Back ends on embeddings: scores by hand, and leaving one out against refitting."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from sklasd.backends import KNNDetector, MahalanobisDetector, NearestMean
from sklasd.testing import on_flat_data

KNN = [
    {},
    {"n_neighbors": 3},
    {"n_neighbors": 3, "aggregation": "max"},
    {"metric": "cosine", "n_neighbors": 2, "aggregation": "sum"},
    {"metric": "manhattan"},
    {"n_neighbors": 500},
    {"density": "ratio"},
    {"density": "difference", "n_density_neighbors": 3, "n_neighbors": 2},
]
GAUSSIAN = [
    (90, 5, {"covariance": "sample"}),
    (90, 5, {"covariance": "shrunk"}),
    (90, 5, {}),
    (20, 50, {}),
    (20, 50, {"covariance": "sample"}),
    (12, 1, {"covariance": "shrunk"}),
    (12, 1, {"covariance": "sample"}),
]


def refitted(detector, X, **metadata):
    """Score each clip by a detector that was fitted to all others."""
    scores = []
    for i in range(len(X)):
        others = {name: np.delete(values, i) for name, values in metadata.items()}
        bare = clone(detector).set_params(calibration=None)
        scores.append(bare.fit(np.delete(X, i, axis=0), **others).score_samples(X[i : i + 1])[0])
    return np.array(scores)


class TestLeaveOneOut:
    @pytest.mark.parametrize("params", KNN, ids=str)
    def test_neighbours(self, rng, params):
        X = rng.normal(size=(90, 5))
        detector = KNNDetector(threshold="quantile", **params)
        scores = detector.fit(X).calibration_scores_
        np.testing.assert_allclose(scores, refitted(detector, X), rtol=1e-10)

    @pytest.mark.parametrize(("n", "d", "params"), GAUSSIAN, ids=str)
    def test_gaussian(self, rng, n, d, params):
        X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3
        detector = MahalanobisDetector(threshold="quantile", **params)
        scores = detector.fit(X).calibration_scores_
        np.testing.assert_allclose(scores, refitted(detector, X), rtol=1e-7)

    def test_gaussian_per_domain(self, rng):
        X = rng.normal(size=(60, 3))
        domain = np.where(np.arange(60) < 40, "source", "target")
        X[40:] = 2 * X[40:] + 3
        detector = MahalanobisDetector(threshold="quantile").fit(X, domain=domain)
        assert detector.domains_.tolist() == ["source", "target"]
        expected = refitted(detector, X, domain=domain)
        np.testing.assert_allclose(detector.calibration_scores_, expected, rtol=1e-10)

    @pytest.mark.parametrize("covariance", ["sample", "shrunk"])
    def test_a_clip_that_is_alone_on_its_axis(self, rng, covariance):
        X = rng.normal(size=(40, 3))
        X[:, 2] = 0
        X[7, 2] = 1e5  # the others' variance there is nothing
        X[11] = 1e9
        detector = MahalanobisDetector(covariance=covariance, threshold="quantile")
        scores = detector.fit(X).calibration_scores_
        np.testing.assert_allclose(scores, refitted(detector, X), rtol=1e-2)

    def test_duplicates_count_as_neighbours(self, rng):
        X = np.repeat(rng.normal(size=(10, 3)), 2, axis=0)
        np.testing.assert_allclose(
            KNNDetector(threshold="quantile").fit(X).calibration_scores_, 0, atol=1e-6
        )
        ratio = KNNDetector(threshold="quantile", density="ratio", n_density_neighbors=1).fit(X)
        assert np.isfinite(ratio.score_samples(rng.normal(size=(5, 3)))).all()

    def test_groups_are_held_out_together(self, rng):
        X = np.repeat(rng.normal(size=(20, 3)), 2, axis=0)
        detector = KNNDetector(threshold="quantile").fit(X, groups=np.repeat(np.arange(20), 2))
        assert detector.calibration_scores_.max() < -0.01


class TestNeighbours:
    def test_plain(self, rng):
        X, new = rng.normal(size=(50, 4)), rng.normal(size=(9, 4))
        near, _ = NearestNeighbors(n_neighbors=3).fit(X).kneighbors(new)
        for name, expected in (("mean", near.mean(1)), ("max", near[:, 2]), ("sum", near.sum(1))):
            detector = KNNDetector(n_neighbors=3, aggregation=name).fit(X)
            np.testing.assert_allclose(detector.score_samples(new), -expected)

    def test_density(self, rng):
        X, new = rng.normal(size=(30, 2)), rng.normal(size=(7, 2))
        own = np.linalg.norm(X[:, None] - X[None], axis=2)
        rho = np.sort(own, axis=1)[:, 1:5].mean(axis=1)  # the first is the clip itself
        between = np.linalg.norm(new[:, None] - X[None], axis=2)
        for density, rescaled in (("ratio", between / rho), ("difference", between - rho)):
            detector = KNNDetector(density=density).fit(X)
            np.testing.assert_allclose(detector.score_samples(new), -rescaled.min(axis=1))

    def test_density_forgives_distance_from_a_sparse_part(self, rng):
        dense, sparse = rng.normal(0, 0.1, (50, 2)), rng.normal((30, 0), 3, (50, 2))
        near_dense, near_sparse = np.array([[1.0, 0.0], [30.0, 12.0]])
        X = np.concatenate([dense, sparse])
        plain = KNNDetector().fit(X).score_samples([near_dense, near_sparse])
        ratio = KNNDetector(density="ratio").fit(X).score_samples([near_dense, near_sparse])
        assert plain[0] > plain[1]
        assert ratio[0] < ratio[1]

    def test_per_domain(self, rng):
        X = np.concatenate([rng.normal(size=(40, 3)), rng.normal(8, 4, size=(20, 3))])
        domain = np.repeat(["source", "target"], [40, 20])
        new = rng.normal(size=(5, 3))
        expected = []
        for name in ("source", "target"):
            bank = X[domain == name]
            own = np.sort(np.linalg.norm(bank[:, None] - bank[None], axis=2), axis=1)[:, 1]
            distance = np.linalg.norm(new[:, None] - bank[None], axis=2).min(axis=1)
            expected.append((distance - own.mean()) / own.std())
        detector = KNNDetector(per_domain=True, threshold="quantile").fit(X, domain=domain)
        np.testing.assert_allclose(detector.score_samples(new), -np.min(expected, axis=0))
        # The spread-out domain no longer takes all alarms.
        fresh = np.concatenate([rng.normal(size=(200, 3)), rng.normal(8, 4, size=(200, 3))])
        alarms = detector.predict(fresh) == -1
        pooled = KNNDetector(threshold="quantile").fit(X).predict(fresh) == -1
        assert alarms[200:].mean() < pooled[200:].mean()

    @pytest.mark.parametrize(
        ("n", "params", "metadata"),
        [
            (1, {}, {}),
            (3, {"density": "ratio"}, {}),
            (9, {"per_domain": True}, {"domain": ["source"] * 8 + ["target"]}),
        ],
    )
    def test_too_few_clips(self, rng, n, params, metadata):
        with pytest.raises(ValueError, match=r"Got [123] sample of normal clips in the bank"):
            KNNDetector(**params).fit(rng.normal(size=(n, 2)), **metadata)


class TestGaussian:
    def test_sample_covariance(self, rng):
        X, new = rng.normal(size=(100, 4)) * [1, 2, 3, 4], rng.normal(size=(5, 4))
        deviation = new - X.mean(0)
        squared = (deviation @ np.linalg.inv(np.cov(X.T)) * deviation).sum(1)
        detector = MahalanobisDetector().fit(X)
        assert detector.shrinkage_.tolist() == [0]
        np.testing.assert_allclose(detector.score_samples(new), -np.sqrt(squared), rtol=1e-5)

    def test_shrunk_covariance(self, rng):
        X, new = rng.normal(size=(15, 8)), rng.normal(size=(5, 8))
        shrunk = LedoitWolf().fit(X)
        detector = MahalanobisDetector().fit(X)
        assert detector.shrinkage_[0] == shrunk.shrinkage_ > 0
        expected = -np.sqrt(shrunk.mahalanobis(new))
        np.testing.assert_allclose(detector.score_samples(new), expected, rtol=1e-5)

    def test_five_clips_per_feature_need_no_shrinking(self, rng):
        X = rng.normal(size=(40, 8))
        assert MahalanobisDetector().fit(X).shrinkage_ == 0
        assert MahalanobisDetector().fit(X[:39]).shrinkage_ > 0

    def test_the_nearest_domain_counts(self, rng):
        X = np.concatenate([rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 20])
        domain = np.repeat(["source", "target"], 40)
        apart, pooled = (
            MahalanobisDetector(per_domain=p).fit(X, domain=domain) for p in (True, False)
        )
        between = np.array([[10.0, 10.0]])
        assert apart.predict(between) == [-1]
        assert pooled.predict(between) == [1]
        assert pooled.domains_.tolist() == ["all"]

    def test_too_few_clips(self, rng):
        X = rng.normal(size=(8, 2))
        with pytest.raises(ValueError, match=r"Got 3 sample .* domain 'target'.*at least 4"):
            MahalanobisDetector().fit(X, domain=["source"] * 5 + ["target"] * 3)


@pytest.mark.parametrize(
    "detector",
    [KNNDetector(), KNNDetector(density="ratio"), MahalanobisDetector()],
    ids=str,
)
class TestBoth:
    def test_company_does_not_matter(self, rng, detector):
        X, new = rng.normal(size=(300, 64)), rng.normal(size=(200, 64))
        scores = detector.fit(X).score_samples(new)
        order = rng.permutation(200)
        np.testing.assert_array_equal(detector.score_samples(new[order]), scores[order])
        alone = [detector.score_samples(row[None])[0] for row in new[:20]]
        np.testing.assert_array_equal(alone, scores[:20])

    def test_scikit_learns_checks_of_a_calibrated_one(self, detector):
        # The share of alarms is that of *new* clips; the checks ask for it on training clips. All
        # checks run on an uncalibrated one in test_common.
        both = ("check_outliers_train", "check_outliers_fit_predict")
        impossible = dict.fromkeys(both, "contamination is that of new clips")
        flat = on_flat_data(type(detector), 32, 1, takes_spectrograms=False)
        with flat, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            results = check_estimator(
                detector, on_skip=None, on_fail=None, expected_failed_checks=impossible
            )
        failed = [r["check_name"] for r in results if r["status"] == "failed"]
        assert not failed
        assert len(results) > 40

    def test_in_a_pipeline(self, rng, detector):
        X = rng.normal(size=(60, 5))
        pipeline = make_pipeline(StandardScaler(), detector).fit(X)
        assert pipeline.predict(X[:1] + 50) == [-1]


def test_nearest_mean(rng):
    X, new = rng.normal(2, 1, size=(20, 3)), rng.normal(size=(4, 3))
    mean = X.mean(axis=0)
    cosine = new @ mean / np.linalg.norm(new, axis=1) / np.linalg.norm(mean)
    np.testing.assert_allclose(NearestMean().fit(X).score_samples(new), cosine - 1)


def test_other_outlier_detectors_fit_the_same_place(rng):
    X = rng.normal(size=(60, 5))
    forest = make_pipeline(StandardScaler(), IsolationForest(random_state=0)).fit(X)
    assert forest.predict(X[:1] + 50) == [-1]
