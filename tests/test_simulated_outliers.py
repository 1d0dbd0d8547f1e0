"""The better of two detectors for each machine, chosen without a recorded fault."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sklasd import GroupedDetector, KNNDetector, LogMel, StatisticsDetector, make_pipeline
from sklasd.base import BaseDetector
from sklasd.base._spectrogram_input import read_spectrograms
from sklasd.clips._waveforms import ClipFormat
from sklasd.datasets import make_machine_clips
from sklasd.features._altered_clips import AddedSound, alter_clips
from sklasd.metrics import auc_score, simulated_outlier_scorer
from sklasd.model_selection import NormalOnlySplit

RATE = 16000


class Chance(BaseDetector):
    """Scores that have nothing to do with the clips."""

    def __init__(self, threshold="quantile", contamination=0.2, calibration=None):
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration

    def _prepare(self, X, *, reset):
        return read_spectrograms(self, X, reset=reset)

    def _learn(self, clips):
        self.learnt_ = True

    def _score_samples(self, data, index=None, section=None):
        index = range(len(data)) if index is None else index
        spectrograms = list(data)
        seeds = [int(np.abs(spectrograms[i]).sum() * 1e3) for i in index]
        return np.array([np.random.default_rng(seed).normal() for seed in seeds])


def by_statistics():
    return StatisticsDetector(threshold="quantile", contamination=0.2)


@pytest.fixture(scope="module")
def waves():
    return make_machine_clips("fan", n_train=16, duration=1.0, random_state=0).waveforms[:16]


@pytest.fixture(scope="module")
def fitted(waves):
    return make_pipeline(LogMel(n_mels=32), by_statistics()).fit(waves[:8])


class TestScore:
    def test_by_hand(self, fitted, waves):
        held_out = list(waves[8:])
        faults = [AddedSound("noise", (5, 6)), AddedSound("impacts", (7, 8))]
        made = alter_clips(held_out, ClipFormat(RATE), faults, random_state=3)
        outliers = [wave for of_clip in made for wave in of_clip]
        assert len(outliers) == 16
        expected = auc_score(
            np.repeat([1, -1], [8, 16]),
            np.concatenate([fitted.score_samples(held_out), fitted.score_samples(outliers)]),
        )
        scorer = simulated_outlier_scorer(noise=(5, 6), impacts=(7, 8), random_state=3)
        assert scorer(fitted, held_out) == scorer(fitted, waves[8:]) == expected
        assert 0.5 < expected <= 1

    def test_harder_outliers_score_less(self, fitted, waves):
        easy, hard = (
            simulated_outlier_scorer(noise=snr, impacts=snr)(fitted, waves[8:])
            for snr in ((0, 0), (50, 50))
        )
        assert easy > 0.9
        assert hard < easy - 0.2

    def test_neither_labelled_nor_exposed_clips_take_part(self, fitted, waves):
        scorer = simulated_outlier_scorer()
        expected = scorer(fitted, waves[8:12])
        y = np.repeat([1, -1], [4, 4])
        assert scorer(fitted, waves[8:], y) == expected
        table = pd.DataFrame({"path": list(waves[8:]), "exposed": y == -1})
        assert scorer(fitted, table) == expected

    def test_chance_is_a_half(self, waves):
        chance = make_pipeline(LogMel(n_mels=32), Chance()).fit(waves)
        score = simulated_outlier_scorer()(chance, waves)
        assert score == pytest.approx(0.5, abs=0.25)

    def test_memory(self, fitted, waves, tmp_path):
        scorer = simulated_outlier_scorer(memory=str(tmp_path))
        assert scorer(fitted, waves) == clone(scorer)(fitted, waves)
        assert len(list(tmp_path.rglob("output.pkl"))) == 16

    def test_silent_clips_are_told(self, fitted):
        with pytest.raises(ValueError, match="Got 2 normal clips, but no outlier"):
            simulated_outlier_scorer()(fitted, np.zeros((2, RATE)))

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"noise": 10}, "noise=10; pass the least and the greatest of dB, or None"),
            ({"impacts": {1: 2, 3: 4}}, "impacts={1: 2, 3: 4}; pass the least"),
            ({"noise": (6, 0)}, r"noise=\(6, 0\); pass the least and the greatest of dB"),
            ({"impacts": (1,)}, r"impacts=\(1,\); pass the least and the greatest of dB"),
            ({"noise": None, "impacts": None}, "Got None for noise and impacts"),
        ],
    )
    def test_bad_ranges(self, params, words):
        with pytest.raises(ValueError, match=words):
            simulated_outlier_scorer(**params)

    def test_no_front_end(self):
        detector = KNNDetector(threshold="quantile").fit(
            np.random.default_rng(0).normal(size=(20, 4))
        )
        with pytest.raises(ValueError, match="begins with a front end such as LogMel"):
            simulated_outlier_scorer()(detector, np.eye(4))


def low(X):
    return X[:, :16]


def high(X):
    return X[:, 16:]


def search_over(*detectors, **params):
    pipeline = Pipeline([("logmel", LogMel(n_mels=32)), ("detector", detectors[0])])
    return GridSearchCV(
        pipeline, {"detector": list(detectors)}, cv=NormalOnlySplit(2, anomalies="none"),
        error_score="raise",
        scoring=simulated_outlier_scorer(**params),
    )  # fmt: skip


class TestSelection:
    def test_end_to_end(self, tmp_path):
        """Of what hears and what does not, the former is taken for each machine."""
        tables = [
            make_machine_clips(
                machine, n_train=14, n_test=8, n_anomalies=8, duration=1.0, severity=3,
                root=tmp_path, random_state=0,
            ).table
            for machine in ("fan", "valve")
        ]  # fmt: skip
        clips = pd.concat(tables, ignore_index=True)
        train, test = clips[clips["split"] == "train"], clips[clips["split"] == "test"]
        detector = GroupedDetector(search_over(Chance(), by_statistics()), expose_others=True)
        detector.fit(train)
        for search in detector.estimators_.values():
            assert isinstance(search.best_estimator_["detector"], StatisticsDetector)
        assert auc_score(test["label"], detector.p_values(test)) > 0.7
        decision = detector.decision_function(test)
        np.testing.assert_array_equal(detector.predict(test), np.where(decision < 0, -1, 1))
        assert detector.anomaly_map(test).shape[:2] == (len(test), 32)
        offsets = [each.best_estimator_[-1].offset_ for each in detector.estimators_.values()]
        detector.recalibrate(test, test["label"])
        assert offsets != [
            each.best_estimator_[-1].offset_ for each in detector.estimators_.values()
        ]

    def test_each_machine_has_its_own(self):
        """Where low bands differ from clip to clip, what listens to high ones is better."""
        rng = np.random.default_rng(0)
        spectrum = np.fft.rfft(0.1 * rng.normal(size=(32, RATE // 2)))
        level = 10 ** rng.uniform(-1.5, 1.5, (32, 1))
        is_low = np.arange(spectrum.shape[1]) < spectrum.shape[1] // 4
        restless = np.where(np.arange(32)[:, None] < 16, is_low, ~is_low)
        waves = np.fft.irfft(np.where(restless, level * spectrum, spectrum))
        clips = pd.DataFrame({"path": list(waves), "machine": np.repeat(["rumbles", "hisses"], 16)})
        listening = [make_pipeline(FunctionTransformer(f), by_statistics()) for f in (low, high)]
        detector = GroupedDetector(search_over(*listening)).fit(clips)
        chosen = {
            machine: search.best_estimator_["detector"][0].func
            for machine, search in detector.estimators_.items()
        }
        assert chosen == {"rumbles": high, "hisses": low}
