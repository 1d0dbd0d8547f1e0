"""Thresholds and p-values by clips that were not learnt from."""

import warnings

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.model_selection import (
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedKFold,
)

from sklasd import KNNDetector, MahalanobisDetector, OEAutoencoder
from sklasd.base import TrainingClips
from sklasd.base._calibration import calibration_folds
from sklasd.base._decision import Decision
from sklasd.testing import make_sounds


def clips(n, **metadata):
    return TrainingClips.gather(np.zeros((n, 2)), **metadata)


def held_out(folds):
    return np.concatenate([test for _, test in folds])


class TestFolds:
    @pytest.mark.parametrize(("n", "sizes"), [(60, [6] * 10), (200, [40] * 5), (3, [1] * 3)])
    def test_up_to_200_clips_are_dealt_into_folds(self, n, sizes):
        folds = calibration_folds("auto", clips(n))
        assert sorted(len(test) for _, test in folds) == sizes
        assert sorted(held_out(folds)) == list(range(n))
        assert all(not set(train) & set(test) for train, test in folds)

    def test_of_more_a_quarter_is_held_out(self):
        ((train, test),) = calibration_folds("auto", clips(1000))
        assert len(test) == 250
        assert sorted([*train, *test]) == list(range(1000))

    def test_neither_anomalous_nor_exposed_clips_take_part(self):
        y, exposed = np.ones(40), np.zeros(40, dtype=bool)
        y[5:10], exposed[20:25] = -1, True
        folds = calibration_folds("auto", clips(40, y=y, exposed=exposed))
        assert sorted(held_out(folds)) == [*range(5), *range(10, 20), *range(25, 40)]

    @pytest.mark.parametrize("n", [35, 700])
    def test_groups_stay_together(self, n):
        groups = np.arange(n) // 5
        folds = calibration_folds("auto", clips(n, groups=groups))
        assert len(folds) == 5
        for train, test in folds:
            assert not set(groups[train]) & set(groups[test])

    def test_sections_and_domains_are_spread(self):
        section, domain = np.arange(60) % 3, np.where(np.arange(60) < 45, "source", "target")
        for _, test in calibration_folds(5, clips(60, section=section, domain=domain)):
            assert np.bincount(section[test]).tolist() == [4, 4, 4]
            assert np.sum(domain[test] == "target") == 3

    def test_a_handful_of_target_clips_is_no_obstacle(self):
        domain = np.array(["source"] * 28 + ["target"] * 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            folds = calibration_folds("auto", clips(30, domain=domain))
        assert len(folds) == 10

    def test_splitters(self):
        folds = calibration_folds(KFold(3), clips(9, y=[1, 1, -1] * 3))
        assert [test.tolist() for _, test in folds] == [[0, 1], [3, 4], [6, 7]]
        groups = np.array(list("aabbcc"))
        folds = calibration_folds(LeaveOneGroupOut(), clips(6, groups=groups))
        assert [test.tolist() for _, test in folds] == [[0, 1], [2, 3], [4, 5]]

    def test_sections_that_go_with_groups_leave_no_fold_empty(self):
        groups = np.repeat(np.arange(5), [6, 15, 6, 7, 27])
        section = np.repeat([1, 1, 1, 2, 1], [6, 15, 6, 7, 27])
        folds = calibration_folds("auto", clips(61, groups=groups, section=section))
        assert all(len(test) for _, test in folds)
        assert sorted(held_out(folds)) == list(range(61))

    def test_groups_have_any_names(self):
        for groups in (["a", 1, "a", 1], [1.5, 2.5, 1.5, 2.5]):
            folds = calibration_folds("auto", clips(4, groups=np.array(groups, dtype=object)))
            assert sorted(test.tolist() for _, test in folds) == [[0, 2], [1, 3]]

    @pytest.mark.parametrize("name", ["section", "domain", "groups"])
    def test_what_is_missing_of_normal_clips_is_named(self, name):
        values = np.array(["a", None, "b", np.nan], dtype=object)
        with pytest.raises(ValueError, match=rf"Got no {name} of the normal clips 1;"):
            clips(4, y=[1, 1, 1, -1], **{name: values})

    @pytest.mark.parametrize(
        ("splitter", "metadata", "words"),
        [
            (RepeatedKFold(n_splits=2, n_repeats=2), {}, "holds clips out more than once"),
            (PredefinedSplit([-1] * 6), {}, "holds out no clip"),
            (
                PredefinedSplit([0] * 3 + [1] * 3),
                {"groups": [0, 1] * 3},
                "splits them between training and calibration",
            ),
        ],
    )
    def test_splitters_that_will_not_do(self, splitter, metadata, words):
        with pytest.raises(ValueError, match=words):
            calibration_folds(splitter, clips(6, **metadata))

    @pytest.mark.parametrize(
        ("n", "metadata", "words"),
        [
            (1, {}, "Got 1 normal clip .* too few to hold one out .* calibration=None"),
            (6, {"groups": ["tape"] * 6}, "Got 1 group of normal clips"),
        ],
    )
    def test_nothing_to_hold_out(self, n, metadata, words):
        with pytest.raises(ValueError, match=words):
            calibration_folds("auto", clips(n, **metadata))


class TestPValues:
    def test_formula(self, rng):
        known, new = rng.normal(size=30), rng.normal(size=10)
        expected = [(1 + sum(k <= s for k in known)) / 31 for s in new]
        decision = Decision.learn(known, threshold="quantile", contamination=0.1)
        np.testing.assert_allclose(decision.p_values(new), expected)

    def test_ties_and_gaps(self):
        decision = Decision.learn(np.zeros(4), threshold="quantile", contamination=0.4)
        p = decision.p_values(np.array([0.0, -np.inf, np.inf, np.nan]))
        np.testing.assert_allclose(p, [1, 0.2, 1, 0.2])

    @pytest.mark.parametrize("contamination", [0.05, 0.1, 0.2, 0.3])
    def test_conformal_alarms_are_small_p_values(self, rng, contamination):
        X, new = rng.normal(size=(79, 3)), rng.normal(0, 2, size=(300, 3))
        detector = KNNDetector(threshold="conformal", contamination=contamination).fit(X)
        is_alarm = detector.predict(new) == -1
        np.testing.assert_array_equal(is_alarm, detector.p_values(new) <= contamination)

    @pytest.mark.parametrize("detector", [KNNDetector(), MahalanobisDetector()], ids=str)
    def test_false_alarms_are_as_asked(self, detector):
        detector.set_params(threshold="conformal")
        rates, p = [], []
        for seed in range(200):
            X = np.random.default_rng(seed).normal(size=(50 + 40, 4))
            p.append(detector.fit(X[:50]).p_values(X[50:]))
            rates.append(np.mean(detector.predict(X[50:]) == -1))
        # methods: 0.098 with a deviation of 0.041 for 50 clips, and 0.05 of 40 draws
        assert np.mean(rates) == pytest.approx(0.095, abs=0.02)
        assert kstest(np.concatenate(p), "uniform").statistic < 0.05


class TestOffset:
    def test_too_few_clips_for_the_rate_asked_for(self, rng):
        words = (
            "8 normal clips cannot tell .*contamination=0.1: one of them is 11%. Pass at least 9"
        )
        X = rng.normal(size=(8, 2))
        with pytest.warns(UserWarning, match=words):
            KNNDetector(threshold="quantile").fit(X)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            KNNDetector(threshold="quantile", contamination=0.2).fit(X)

    def test_conformal_of_too_few_is_the_least_score(self, rng):
        with pytest.warns(UserWarning, match="cannot tell"):
            detector = KNNDetector(threshold="conformal").fit(rng.normal(size=(5, 2)))
        assert detector.offset_ == detector.calibration_scores_.min()

    def test_scores_are_in_the_order_of_the_clips(self, rng):
        X = rng.normal(size=(20, 2))
        X[7] += 100
        assert KNNDetector(calibration=5).fit(X).calibration_scores_.argmin() == 7

    def test_what_is_not_a_number_is_anomalous(self, rng):
        detector = KNNDetector().fit(rng.normal(size=(20, 2)))
        assert detector.decide([np.nan, 0.0, -1e9]).tolist() == [-1, 1, -1]


class TestRecalibration:
    def test_bad_parameters_are_told(self, rng):
        detector = KNNDetector().fit(rng.normal(size=(20, 2)))
        with pytest.raises(ValueError, match="'threshold' parameter"):
            detector.set_params(threshold="bogus").recalibrate(rng.normal(size=(20, 2)))

    def test_a_failure_leaves_the_old_decision(self, rng):
        X, new = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
        detector = KNNDetector(calibration=None).fit(X)
        offset = detector.offset_
        detector.set_params(threshold=lambda scores: np.nan)
        with pytest.raises(ValueError, match="must be finite"):
            detector.recalibrate(new)
        assert detector.offset_ == offset
        assert len(detector.calibration_scores_) == 20
        with pytest.raises(ValueError, match="calibration=None"):
            detector.p_values(new)

    def test_scores_that_are_no_numbers_set_no_threshold(self, rng):
        detector = KNNDetector().fit(rng.normal(size=(20, 2)))
        new = rng.normal(size=(20, 2))
        new[3] = 1e200
        with pytest.raises(ValueError, match=r"normal clips 3 .* score -inf"):
            detector.recalibrate(new)


class TestSilence:
    def fit(self, X, **params):
        tiny = {"hidden_layer_sizes": (16,), "max_epochs": 10, "batch_size": 64, "lr": 1e-2}
        return OEAutoencoder(**tiny, random_state=0, **params).fit(X)

    def test_one_dead_microphone_blinds_no_model(self):
        sounds = make_sounds(n_clips=60)
        X = sounds.train.copy()
        X[41] = -100
        with pytest.warns(UserWarning, match="clip 41 has no sound"):
            detector = self.fit(X, threshold="quantile")
        clean = self.fit(np.delete(X, 41, axis=0), threshold="quantile")
        faulty = sounds.test[sounds.label == -1]
        found = np.mean(detector.predict(faulty) == -1)
        assert found == np.mean(clean.predict(faulty) == -1) > 0.9
        assert detector.predict(np.full_like(X[:1], -100)) == [-1]

    def test_silent_exposed_clips_are_named_too(self):
        sounds = make_sounds(n_clips=12)
        X = np.concatenate([sounds.train, np.full((2, 32, 40), -80.0)])
        with pytest.warns(UserWarning, match="clips 12, 13 have no sound"):
            clips = TrainingClips.gather(
                OEAutoencoder()._prepare(X, reset=True), exposed=np.arange(14) >= 11
            )
        assert clips.exposed.sum() == 1
        assert clips.normal.sum() == 11
