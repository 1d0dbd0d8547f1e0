"""Guard rails: what a model was trained on is compared with what it scores, and told once."""

import functools
import warnings
from dataclasses import replace

import joblib
import numpy as np
import pytest
import soundfile

from sklasd import (
    FusionDetector,
    KNNDetector,
    LogMel,
    OEAutoencoder,
    StatisticsDetector,
    make_pipeline,
)
from sklasd.base._conditions import Conditions
from sklasd.base._unwrap import call_detector as ask
from sklasd.training import Spectrograms


@pytest.fixture(scope="module")
def waves():
    """Noise of 30 clips whose levels scatter by 0.5 dB."""
    rng = np.random.default_rng(0)
    gains = 10 ** (rng.normal(0, 0.5, size=(30, 1)) / 20)
    return 0.02 * gains * rng.standard_normal((30, 8000))


@pytest.fixture
def write(tmp_path):
    def files(waves, sample_rate=16000, channels=1, name="a"):
        paths = [str(tmp_path / f"{name}{i}.wav") for i in range(len(waves))]
        for path, wave in zip(paths, waves, strict=True):
            soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), sample_rate)
        return paths

    return files


def told(function, *args):
    """Return what a call warns of, and what it returns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*args)
    return [str(each.message) for each in caught], result


def by_level(**front_end):
    return make_pipeline(LogMel(n_mels=32, **front_end), StatisticsDetector())


def by_net():
    net = OEAutoencoder(hidden_layer_sizes=(4,), max_epochs=1, calibration=None, verbose=0)
    return make_pipeline(LogMel(n_mels=32), net)


def fused():
    few = {"fusion": "zscore", "cv": 2}
    members = [(name, by_level(n_fft=n)) for name, n in (("a", 1024), ("b", 512))]
    return FusionDetector([*members, ("inner", FusionDetector(members, **few))], **few)


def shared():
    members = [(name, StatisticsDetector(name)) for name in ("quantiles", "shape")]
    return make_pipeline(LogMel(n_mels=32), FusionDetector(members))


class TestLevelAndLength:
    @pytest.mark.parametrize("make", [by_level, shared, fused])
    def test_a_gain_is_told_once(self, make, waves):
        model = make().fit(waves[:20])
        for function in (model.score_samples, model.predict):
            assert told(function, waves[20:])[0] == []
            words, _ = told(function, 2 * waves[20:])
            assert len(words) == 1
            assert "6 dB louder than those that were learnt from, which scatter" in words[0]
            assert "LogMel(normalize=-20)" in words[0]

    def test_scores_are_what_they_were(self, waves):
        model = by_level().fit(waves[:20])
        words, scores = told(model.score_samples, waves[20:] / 4)
        assert "12 dB quieter" in words[0]
        model[-1].decision_ = replace(model[-1].decision_, conditions=None)
        words, without = told(model.score_samples, waves[20:] / 4)
        assert words == []
        np.testing.assert_array_equal(scores, without)

    def test_a_loud_fault_among_others_is_none_of_it(self, waves):
        X = waves[20:].copy()
        X[:4] *= 8
        assert told(by_level().fit(waves[:20]).score_samples, X)[0] == []

    @pytest.mark.parametrize("make", [by_level, shared])
    def test_length(self, make, waves):
        model = make().fit(waves[:20])
        longer = [np.tile(wave, 3) for wave in waves[20:]]
        assert told(model.score_samples, [np.tile(wave, 2) for wave in waves[20:]])[0] == []
        (words,), _ = told(model.score_samples, longer)
        assert "have 47 frames, those that were learnt from 16, and" in words
        assert "duration" in words

    def test_recalibrated_and_loaded_models(self, waves, tmp_path):
        model = by_level().fit(waves[:20])
        joblib.dump(model, tmp_path / "m.joblib")
        assert told(joblib.load(tmp_path / "m.joblib").score_samples, 4 * waves[20:])[0]
        model[-1].recalibrate(model[:-1].transform(4 * waves[:20]))
        assert told(model.score_samples, 4 * waves[20:])[0] == []

    @pytest.mark.parametrize("make", [by_net, shared])
    def test_tables_tell_it_too(self, make, waves):
        model = make().fit(waves[:20])
        table = functools.partial(ask, model, "score_table")
        assert told(table, waves[20:])[0] == []
        (words,), _ = told(table, 4 * waves[20:])
        assert "12 dB louder" in words

    def test_altered_copies_do_not_count(self, waves):
        X = LogMel(n_mels=32).transform(np.concatenate([waves[:20], 10 * waves[:20], waves[:20]]))
        copy_of = np.concatenate([np.full(20, -1), *[np.arange(20)] * 2])
        X[40:] += 20
        detector = StatisticsDetector().fit(X, copy_of=copy_of)
        assert told(detector.score_samples, X[:20])[0] == []
        assert "20 dB louder" in told(detector.score_samples, X[40:])[0][0]

    def test_rows_have_no_level(self, rng):
        X = rng.normal(size=(30, 4))
        assert told(KNNDetector().fit(X).score_samples, X + 50)[0] == []

    @pytest.mark.parametrize(
        "detector", [StatisticsDetector(), FusionDetector([("a", StatisticsDetector())])]
    )
    def test_images_have_none(self, detector, rng):
        images = rng.integers(0, 100, size=(20, 8, 8)).astype(np.uint8)
        detector.fit(images)
        assert told(detector.score_samples, images + np.uint8(100))[0] == []

    def test_levels_follow_the_gain(self, waves):
        def levels(X):
            return Spectrograms.stack(LogMel().transform(X)).levels

        np.testing.assert_allclose(levels(2 * waves) - levels(waves), 6.0206, atol=1e-3)

    def test_what_scatters_more_may_move_more(self, rng):
        n_frames = np.full(50, 10)
        wide = Conditions.of(rng.normal(0, 4, size=50), n_frames)
        assert wide.differences(np.full(5, 8.0), n_frames[:5]) == []
        assert len(wide.differences(np.full(5, 20.0), n_frames[:5])) == 1
        # A few clips may be all there is of a loud fault, or of a dead microphone.
        assert wide.differences(np.full(4, 20.0), n_frames[:4]) == []


class TestNormalize:
    def test_takes_the_gain_out(self, waves):
        logmel = LogMel(n_mels=32, normalize=-20)
        np.testing.assert_array_equal(logmel.transform(waves), logmel.transform(waves / 4))
        loud = 10 * np.log10(np.mean(np.square(waves[0])))
        plain = LogMel(n_mels=32).transform(waves[:1])
        np.testing.assert_allclose(logmel.transform(waves[:1]), plain - 20 - loud, atol=1e-3)
        model = by_level(normalize=-20).fit(waves[:20])
        words, scores = told(model.score_samples, 2 * waves[20:])
        assert words == []
        np.testing.assert_array_equal(scores, model.score_samples(waves[20:]))

    def test_silence_stays(self):
        with pytest.warns(UserWarning, match="silent"):
            assert (LogMel(normalize=-20).transform([np.zeros(4000)]) == -100).all()


class TestFormats:
    def test_bands_above_what_files_hold(self, write, waves):
        low, high = write(waves, 8000, name="low"), write(waves, name="high")
        expected = r"30 of 30 files have a sample rate of 8000 Hz, so that 7 of 32 bands, from "
        model = by_level()
        words, _ = told(model.fit, low)
        assert len(words) == 1
        assert words[0].startswith(expected)
        assert "pass sample_rate=8000, or fmax=4000." in words[0]
        assert told(model.score_samples, low)[0] == []  # it was told
        words, _ = told(model.score_samples, high)
        assert "sound in bands that were empty in the training clips" in words[0]
        words, _ = told(by_level().fit(high).score_samples, low)
        assert words[0].startswith(expected)
        assert told(LogMel(fmax=4000.0).fit_transform, low)[0] == []

    def test_fused_front_ends_tell_it_once(self, write, waves):
        low = write(waves[:20], 8000)
        words, model = told(fused().fit, low)
        assert len([w for w in words if "bands" in w]) == 1
        assert len(told(model.score_samples, low)[0]) == 1

    def test_channels(self, write, waves):
        model = by_level().fit(write(waves[:20]))
        words, _ = told(model.score_samples, write(waves[20:], channels=2, name="b"))
        assert words == [
            "10 of 10 files have 2 channel(s), the training clips 1. Pass channel=... if "
            "one of them is the same microphone, or fit again."
        ]

    def test_one_channel_is_the_same_among_more(self, write, waves):
        model = by_level(channel=0).fit(write(waves[:20]))
        assert told(model.score_samples, write(waves[20:], channels=2, name="b"))[0] == []

    def test_rates_that_differ_above_the_bands_do_not_matter(self, write, waves):
        model = by_level().fit(write(waves[:20]))
        words, _ = told(model.score_samples, write(np.repeat(waves, 2, axis=1), 32000, name="b"))
        assert not [w for w in words if "rate" in w]
