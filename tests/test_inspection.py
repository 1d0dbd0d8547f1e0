"""Where a clip departs from normal: axes, maps, thresholds, and what a map marks as sound."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import sklearn.pipeline
import soundfile
from scipy.signal import stft
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import FunctionTransformer

from sklasd import (
    Augmented,
    ClipStatistics,
    FusionDetector,
    GroupedDetector,
    KNNDetector,
    LogMel,
    OEAutoencoder,
    SpectrogramScaler,
    StatisticsDetector,
    STFTImage,
    TorchEmbedding,
    make_pipeline,
)
from sklasd.base._unwrap import detector_of
from sklasd.datasets import make_machine_clips
from sklasd.features import PANNsEmbedding
from sklasd.inspection import (
    anomaly_map,
    inspect_clips,
    recalibrate,
    resynthesise,
)
from sklasd.inspection._inspect_clips import see_clips
from sklasd.inspection._masks import apply_mask, soft_mask

RATE = 16000
N_TRAIN = 24


def tone(frequency, seconds=2.0):
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


def click(second, seconds=2.0):
    wave = np.zeros(int(seconds * RATE))
    wave[int(second * RATE)] = 1.0
    return wave


class TestAxesOfFrontEnds:
    @pytest.mark.parametrize(
        "front_end",
        [
            LogMel(),
            LogMel(n_fft=2048, win_length=801, hop_length=300, fmin=100, htk=True),
            STFTImage(win_length=1024, hop_length=512, top_db=None),
            STFTImage(win_length=1023, hop_length=512, width=40, height=100, top_db=None),
        ],
    )
    def test_a_click_and_a_tone_are_where_they_say(self, front_end):
        clicks, tones = front_end.transform([click(1.25), tone(1000.0)])
        times = front_end.times(clicks.shape[1], n_samples=2 * RATE)
        step = np.diff(times)
        np.testing.assert_allclose(step, step[0])
        profile = clicks.mean(axis=0) - clicks.mean(axis=0).min()
        half_a_frame = front_end.hop_length / RATE / 2
        assert np.average(times, weights=profile) == pytest.approx(1.25, abs=half_a_frame)
        frequencies = front_end.frequencies
        assert (np.diff(frequencies) > 0).all()
        row = tones.mean(axis=1).argmax()
        assert row == np.abs(frequencies - 1000).argmin()

    def test_an_image_that_was_not_resized(self):
        image = STFTImage(win_length=1000, hop_length=500, height=501, width=65)
        np.testing.assert_allclose(image.frequencies, np.arange(501) * RATE / 1000)
        np.testing.assert_allclose(image.times(65, n_samples=32000), np.arange(65) * 500 / RATE)

    def test_an_image_of_a_known_duration(self):
        image = STFTImage(duration=2.0)
        np.testing.assert_array_equal(image.times(320), STFTImage().times(320, n_samples=32000))
        with pytest.raises(ValueError, match=r"n_samples=None.*pass the clip's number of samples"):
            STFTImage().times(320)

    def test_what_has_no_axes_tells_none(self):
        for step in (ClipStatistics, PANNsEmbedding, TorchEmbedding):
            assert not hasattr(step, "times")
            assert not hasattr(step, "frequencies")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Short clips of a fan with faults at its end, as files of a table."""
    waves, table = make_machine_clips(
        "fan", n_train=N_TRAIN, n_test=2, n_anomalies=2, duration=1.0, random_state=0
    )
    folder = tmp_path_factory.mktemp("fan")
    paths = [folder / f"{i:02d}.wav" for i in range(len(waves))]
    for path, wave in zip(paths, waves, strict=True):
        soundfile.write(path, wave, RATE, subtype="FLOAT")
    return waves, table.assign(path=[str(path) for path in paths])


def quick(**params):
    return make_pipeline(LogMel(n_mels=32), StatisticsDetector(**params))


@pytest.fixture(scope="module")
def fitted(clips):
    return quick().fit(clips[0][:N_TRAIN])


def estimators():
    """Whatever ends in a detector that tells where; each takes a clip table."""
    pair = [("level", StatisticsDetector()), ("shape", StatisticsDetector("shape"))]
    apart = [(name, make_pipeline(LogMel(n_mels=32), each)) for name, each in pair]
    search = GridSearchCV(
        quick(), {"statisticsdetector__statistics": ["shape"]}, cv=2,
        scoring=lambda estimator, X, y=None: 0.0,
    )  # fmt: skip
    return {
        "pipeline": quick(),
        "scikit-learn's pipeline": sklearn.pipeline.make_pipeline(
            LogMel(n_mels=32), StatisticsDetector()
        ),
        "scaled": make_pipeline(LogMel(n_mels=32), SpectrogramScaler(), StatisticsDetector()),
        "search": search,
        "fusion": make_pipeline(LogMel(n_mels=32), FusionDetector(pair)),
        "fusion of pipelines": FusionDetector(apart),
        "augmented": Augmented(quick(), copies=1, random_state=0),
        "grouped": GroupedDetector(quick()),
        "grouped and augmented": GroupedDetector(Augmented(quick(), copies=1, random_state=0)),
        "net": make_pipeline(
            LogMel(n_mels=16),
            OEAutoencoder(
                max_epochs=1, calibration=None, threshold="quantile", random_state=0, verbose=0
            ),
        ),
    }


class TestAskingPipelines:
    @pytest.mark.parametrize("name", estimators())
    def test_maps_have_the_axes_of_what_was_heard(self, clips, name):
        _, table = clips
        estimator = estimators()[name]
        estimator.fit(table[:N_TRAIN])
        maps = anomaly_map(estimator, table[-2:])
        seen = inspect_clips(estimator, table[-2:])
        n_mels = 16 if name == "net" else 32
        front_end = LogMel(n_mels=n_mels)
        assert np.shape(maps) == (2, n_mels, 32)
        for clip, where, path in zip(seen, maps, table["path"][-2:], strict=True):
            np.testing.assert_array_equal(clip.anomaly_map, where)
            np.testing.assert_array_equal(clip.spectrogram, front_end.transform([path])[0])
            np.testing.assert_array_equal(clip.times, np.arange(32) * 512 / RATE)
            np.testing.assert_array_equal(clip.frequencies, front_end.mel_frequencies)
            assert (clip.name, clip.source) == (path.rsplit("/", 1)[-1], path)
            assert clip.spectrogram_unit == "dB"
        unit = {"fusion": "times the usual", "net": "times the usual power"}
        assert seen[0].map_unit == unit.get(name.split()[0], "share of the distance")

    def test_it_is_the_detectors_own_map(self, clips, fitted):
        features = fitted[:-1].transform(clips[0][-2:])
        np.testing.assert_array_equal(
            anomaly_map(fitted, clips[0][-2:]), fitted[-1].anomaly_map(features)
        )

    def test_paths_arrays_and_tables_are_the_same(self, clips, fitted):
        waves, table = clips
        by_array = inspect_clips(fitted, waves[-2:])
        assert [clip.name for clip in by_array] == ["clip 0", "clip 1"]
        for X in (list(table["path"][-2:]), table[-2:], list(waves[-2:])):
            for one, other in zip(inspect_clips(fitted, X), by_array, strict=True):
                np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
                np.testing.assert_array_equal(one.waveform(), other.waveform())

    def test_clips_of_groups_keep_their_order(self, clips):
        _, table = clips
        table = table.assign(machine=np.where(np.arange(len(table)) % 2, "one", "other"))
        grouped = GroupedDetector(quick()).fit(table[:N_TRAIN])
        seen = inspect_clips(grouped, table[-4:])
        assert [clip.source for clip in seen] == table["path"][-4:].tolist()
        for row, clip in zip(range(-4, 0), seen, strict=True):
            own = grouped.estimators_[table["machine"].iloc[row]]
            alone = anomaly_map(own, [table["path"].iloc[row]])[0]
            np.testing.assert_array_equal(clip.anomaly_map, alone)

    @pytest.mark.parametrize("name", estimators())
    def test_recalibrate(self, clips, name):
        table = clips[1].drop(columns="split")
        estimator = estimators()[name].fit(table[:N_TRAIN])
        labels = np.where(table["label"] == 1, 1, -1)
        rows = np.r_[:12, -2:0]
        new = table.iloc[rows]
        assert recalibrate(estimator, new, labels[rows]) is estimator
        expected = estimator.score_samples(table[:12])
        np.testing.assert_array_equal(detector_of(estimator).calibration_scores_, expected)

    @pytest.mark.parametrize("make", [make_pipeline, sklearn.pipeline.make_pipeline])
    def test_recalibrate_leaves_out_training_rows(self, clips, make):
        _, table = clips
        detector = StatisticsDetector(threshold="quantile", contamination=0.5)
        estimator = make(LogMel(n_mels=32), detector).fit(table[:N_TRAIN])
        recalibrate(estimator, table)  # the test clips that are labelled +1
        new = table[(table["split"] == "test") & (table["label"] == 1)]
        expected = estimator.score_samples(new)
        np.testing.assert_array_equal(estimator[-1].calibration_scores_, expected)

    def test_recalibrate_hands_on_sections(self, clips):
        class Told(StatisticsDetector):
            def recalibrate(self, X, y=None, *, section=None):
                self.told_ = section

        pipeline = make_pipeline(LogMel(n_mels=32), Told()).fit(clips[0][:N_TRAIN])
        recalibrate(pipeline, clips[0][:3], section=["a", "b", "a"])
        assert pipeline[-1].told_ == ["a", "b", "a"]

    def test_what_cannot_is_named(self, clips):
        waves = clips[0]
        near = make_pipeline(LogMel(n_mels=32), ClipStatistics(), KNNDetector()).fit(waves[:20])
        words = r"the detector KNNDetector, which cannot tell where.*use AEGAN.*, Statistics"
        for ask in (anomaly_map, resynthesise):
            with pytest.raises(ValueError, match=words):
                ask(near, waves[:1])
        foreign = sklearn.pipeline.make_pipeline(ClipStatistics(), IsolationForest())
        foreign.fit(waves[:20, None, ::100])
        with pytest.raises(
            ValueError, match="ends in IsolationForest, whose threshold cannot be set"
        ):
            recalibrate(foreign, waves[:1, None, ::100])
        mixing = quick(backend=IsolationForest(random_state=0)).fit(waves[:20])
        with pytest.raises(ValueError, match="StatisticsDetector, which cannot tell where"):
            anomaly_map(mixing, waves[:1])
        for ask in (anomaly_map, recalibrate, inspect_clips, resynthesise):
            with pytest.raises(NotFittedError):
                ask(quick(), waves[:1])


class Halve(TransformerMixin, BaseEstimator):
    """Join each two bands, of which no front end knows."""

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def transform(self, X):
        return (X[:, ::2] + X[:, 1::2]) / 2


class TestAxes:
    def test_without_a_map_there_is_the_spectrogram(self, clips):
        near = make_pipeline(LogMel(n_mels=32), ClipStatistics(), KNNDetector())
        (clip,) = inspect_clips(near.fit(clips[0][:20]), clips[0][-1:])
        assert clip.anomaly_map is None
        assert clip.spectrogram.shape == (32, len(clip.times))
        with pytest.raises(ValueError, match="clip 0 without an anomaly map"):
            clip.resynthesise()

    def test_a_spectrogram_needs_no_fit_but_of_searches(self, clips):
        unfitted = quick()
        assert see_clips(unfitted, clips[0][:1])[0].spectrogram.shape == (32, 32)
        around = [
            GridSearchCV(unfitted, {}),
            GroupedDetector(unfitted),
            FusionDetector([("a", unfitted)]),
        ]
        for estimator in around:
            with pytest.raises(NotFittedError):
                see_clips(estimator, clips[1][:1])

    def test_a_front_end_alone(self, clips):
        (clip,) = inspect_clips(LogMel(), clips[1][-1:])
        assert clip.name == f"{len(clips[1]) - 1:02d}.wav"
        np.testing.assert_array_equal(clip.frequencies, LogMel().mel_frequencies)
        np.testing.assert_array_equal(clip.waveform(), clips[0][-1])

    def test_an_image_is_stretched_by_the_clips_own_length(self, clips):
        front_end = STFTImage(width=40, height=20)
        waves = [clips[0][0], clips[0][0][:8000]]
        for clip, wave in zip(inspect_clips(front_end, waves), waves, strict=True):
            expected = front_end.times(40, n_samples=len(wave))
            np.testing.assert_array_equal(clip.times, expected)

    def test_the_scaler_is_not_in_the_spectrogram(self, clips):
        plain = LogMel(n_mels=32).transform(clips[0][:1])
        scaled = make_pipeline(LogMel(n_mels=32), SpectrogramScaler(), StatisticsDetector())
        (clip,) = inspect_clips(scaled.fit(clips[0][:20]), clips[0][:1])
        np.testing.assert_array_equal(clip.spectrogram, plain[0])

    def test_steps_that_make_other_bands_lose_the_axes(self, clips):
        pipeline = make_pipeline(LogMel(n_mels=32), Halve(), StatisticsDetector())
        pipeline.fit(clips[0][:20])
        (clip,) = inspect_clips(pipeline, clips[0][-1:])
        assert clip.spectrogram.shape == clip.anomaly_map.shape == (16, 32)
        assert clip.times is None
        assert clip.frequencies is None
        with pytest.raises(ValueError, match=r"spectrogram of clip 0 only.*pass clips"):
            clip.resynthesise()

    def test_a_detector_of_spectrograms(self, clips, fitted):
        features = fitted[:-1].transform(clips[0][-2:])
        seen = inspect_clips(fitted[-1], features)
        assert [clip.name for clip in seen] == ["clip 0", "clip 1"]
        np.testing.assert_array_equal(seen[1].spectrogram, features[1])
        assert seen[1].times is None

    def test_no_spectrogram_at_all(self, rng):
        rows = rng.normal(size=(20, 3))
        words = "clips for KNNDetector, but nothing that makes spectrograms"
        with pytest.raises(ValueError, match=words):
            inspect_clips(KNNDetector().fit(rows), rows)

    def test_members_of_other_axes_are_refused(self, clips):
        def fusion(**other):
            front_ends = {"one": LogMel(n_mels=32), "two": LogMel(n_mels=32, **other)}
            return FusionDetector(
                [(k, make_pipeline(v, StatisticsDetector())) for k, v in front_ends.items()]
            ).fit(clips[0][:20])

        assert len(inspect_clips(fusion(n_fft=2048), clips[0][-1:])) == 1
        words = r"members 'one' and 'two' have different frequencies, 91.41 to 7280 Hz and 71"
        lower = fusion(fmax=4000.0)
        with pytest.raises(ValueError, match=words):
            inspect_clips(lower, clips[0][-1:])
        (clip,) = see_clips(lower, clips[0][-1:])  # to look at, the first one will do
        np.testing.assert_array_equal(clip.frequencies, LogMel(n_mels=32).mel_frequencies)

    def test_of_a_fusion_the_picture_is_a_member_s_that_tells_where(self, clips):
        def member(n_mels, *rest):
            return make_pipeline(LogMel(n_mels=n_mels), *rest)

        near = member(16, ClipStatistics(), KNNDetector())
        telling = member(32, StatisticsDetector())
        (clip,) = see_clips(fused(clips, near, telling), clips[0][-1:])
        assert clip.spectrogram.shape[0] == 32
        (clip,) = see_clips(fused(clips, near, near), clips[0][-1:])
        assert clip.spectrogram.shape[0] == 16

    def test_of_a_fusion_the_picture_is_a_member_s_that_has_one(self, clips):
        embedding = make_pipeline(FunctionTransformer(levels_of), KNNDetector())
        near = make_pipeline(LogMel(n_mels=16), ClipStatistics(), KNNDetector())
        for members in ([embedding, near], [near, embedding]):
            (clip,) = see_clips(fused(clips, *members), clips[0][-1:])
            assert clip.spectrogram.shape[0] == 16
        with pytest.raises(ValueError, match="nothing that makes spectrograms"):
            see_clips(fused(clips, embedding), clips[0][-1:])


def levels_of(waves):
    return np.sqrt(np.mean(np.square(waves), axis=1, keepdims=True))


def fused(clips, *members):
    named = [(f"m{i}", member) for i, member in enumerate(members)]
    return FusionDetector(named).fit(clips[0][:N_TRAIN])


def share_inside(wave, start, end, low, high):
    """Tell how much of a waveform's energy is in a region, with the transform's own blur."""
    hertz, seconds, spectrum = stft(wave, RATE, nperseg=1024, noverlap=768)
    power = np.abs(spectrum) ** 2
    rows = (hertz >= low - 32) & (hertz <= high + 32)
    columns = (seconds >= start - 0.064) & (seconds <= end + 0.064)
    return power[np.ix_(rows, columns)].sum() / power.sum()


@pytest.fixture(scope="module")
def burst():
    """Noise with a tone of 2 kHz from 0.8 to 1.3 s, and the noise alone to learn from."""
    rng = np.random.default_rng(0)
    normal, wave = 0.1 * rng.normal(size=(30, 2 * RATE)), 0.1 * rng.normal(size=2 * RATE)
    seconds = np.arange(2 * RATE) / RATE
    wave += 0.1 * tone(2000.0) * ((seconds >= 0.8) & (seconds < 1.3))
    return normal, wave.astype(np.float32)


REGION = (0.8, 1.3, 1950.0, 2050.0)


class TestMasks:
    def test_ones_give_the_clip_back(self, burst):
        wave = burst[1]
        times, frequencies = LogMel().times(63), LogMel().frequencies
        heard = apply_mask(wave, RATE, np.ones((128, 63)), times, frequencies)
        assert heard.dtype == np.float32
        np.testing.assert_allclose(heard, wave, atol=2e-7)

    def test_zeros_are_silence(self, burst):
        axes = LogMel().times(63), LogMel().frequencies
        assert not apply_mask(burst[1], RATE, np.zeros((128, 63)), *axes).any()

    @pytest.mark.parametrize("n_samples", [1, 700, 1024, 16001])
    def test_any_length_is_kept(self, rng, n_samples):
        wave = rng.normal(size=n_samples).astype(np.float32)
        heard = apply_mask(wave, RATE, np.ones((2, 1)), np.zeros(1), np.array([2000.0, 6000.0]))
        assert heard.shape == (n_samples,)
        np.testing.assert_allclose(heard, wave, atol=2e-6)

    def test_half_is_half(self, burst):
        axes = LogMel().times(63), LogMel().frequencies
        heard = apply_mask(burst[1], RATE, np.full((128, 63), 0.5), *axes)
        np.testing.assert_allclose(heard, burst[1] / 2, atol=2e-7)

    def test_between_bands_and_frames_it_is_linear(self):
        # A tone at 3/4 between two bands, of which the mask lets one through.
        wave = tone(1750.0).astype(np.float32)
        bands = np.array([1000.0, 2000.0, 3000.0])
        heard = apply_mask(wave, RATE, np.array([[0.0], [1.0], [1.0]]), np.zeros(1), bands)
        middle = slice(RATE // 2, -RATE // 2)
        assert np.abs(heard[middle]).max() == pytest.approx(0.75, abs=0.02)
        # In time, from silence at the beginning to all of it after two seconds
        rising = apply_mask(wave, RATE, np.array([[0.0, 1.0]] * 3), np.array([0.0, 2.0]), bands)
        for second in (0.5, 1.0, 1.5):
            around = rising[int((second - 0.05) * RATE) : int((second + 0.05) * RATE)]
            assert np.sqrt(2 * np.mean(around**2)) == pytest.approx(second / 2, rel=0.02)

    def test_what_no_band_hears_is_left_out(self):
        low, high = (tone(hz).astype(np.float32) for hz in (1000.0, 7000.0))
        bands = LogMel(fmax=4000.0).frequencies
        heard = apply_mask(low + high, RATE, np.ones((128, 1)), np.zeros(1), bands)
        np.testing.assert_allclose(heard[4000:-4000], low[4000:-4000], atol=1e-3)

    def test_rule_by_hand(self):
        # Sum 20: 8 + 6 hold half of it, so that the level is 6, and what is below 3 is not heard.
        mask = soft_mask(np.array([[8.0, 4.5], [6.0, 1.5]]), 0.5)
        np.testing.assert_array_equal(mask, [[1.0, 0.5], [1.0, 0.0]])
        np.testing.assert_array_equal(soft_mask(np.full((2, 2), 3.0), 0.1), np.ones((2, 2)))
        np.testing.assert_array_equal(soft_mask(np.zeros((2, 2)), 0.5), np.zeros((2, 2)))
        np.testing.assert_array_equal(soft_mask(np.array([[2.0, 1.0, 0.0]]), 1.0), [[1, 1, 0]])

    def test_a_greater_share_lets_more_through(self, rng):
        values = rng.exponential(size=(8, 9))
        masks = [soft_mask(values, share) for share in (0.01, 0.2, 0.5, 0.9, 1.0)]
        for less, more in pairwise(masks):
            assert (less <= more).all()
            assert less.sum() < more.sum()


class TestResynthesise:
    def planted(self, wave):
        front_end = LogMel()
        (clip,) = inspect_clips(front_end, [wave])
        start, end, low, high = REGION
        columns = (clip.times >= start) & (clip.times <= end)
        rows = (clip.frequencies >= low - 50) & (clip.frequencies <= high + 50)
        return replace(clip, anomaly_map=np.outer(rows, columns).astype(np.float32))

    def test_a_planted_map_leaves_what_it_marks(self, burst):
        wave = burst[1]
        heard = self.planted(wave).resynthesise()
        assert share_inside(wave, *REGION) < 0.2
        assert share_inside(heard, *REGION) > 0.95
        # The tone itself is as loud as it was.
        middle = slice(int(0.9 * RATE), int(1.2 * RATE))
        assert np.sqrt(np.mean(heard[middle] ** 2)) == pytest.approx(0.1 / np.sqrt(2), rel=0.1)

    @pytest.mark.parametrize("share", [0.1, 0.5])
    def test_a_detector_finds_a_tone(self, burst, share):
        normal, wave = burst
        pipeline = make_pipeline(LogMel(n_fft=2048), StatisticsDetector()).fit(normal)
        heard = resynthesise(pipeline, [wave], share=share)
        assert heard.shape == (1, len(wave))
        assert heard.dtype == np.float32
        assert share_inside(heard[0], *REGION) > 0.95

    @pytest.mark.parametrize("machine", ["fan", "pump"])
    def test_faults_of_machines(self, machine):
        waves, table = make_machine_clips(
            machine, n_train=40, n_test=0, n_anomalies=4, duration=3.0, severity=2.0,
            random_state=0,
        )  # fmt: skip
        is_train = (table["split"] == "train").to_numpy()
        pipeline = make_pipeline(LogMel(n_fft=2048), StatisticsDetector()).fit(waves[is_train])
        heard = resynthesise(pipeline, waves[~is_train])
        for wave, (region, *_) in zip(heard, table["regions"][~is_train], strict=True):
            assert share_inside(wave, *region) > 0.8

    def test_lengths_differ(self, fitted, clips):
        waves = [clips[0][-1], clips[0][-1][:12345]]
        assert [len(wave) for wave in resynthesise(fitted, waves)] == [16000, 12345]

    def test_as_the_clip_was_read(self, clips):
        pipeline = make_pipeline(
            LogMel(n_mels=32, sample_rate=8000, duration=0.6), StatisticsDetector()
        ).fit(clips[0][:20])
        assert resynthesise(pipeline, clips[1][-1:]).shape == (1, 4800)

    @pytest.mark.parametrize("share", [0, -0.1, 1.5, np.nan])
    def test_wrong_shares(self, fitted, clips, share):
        with pytest.raises(ValueError, match=r"share=.* of a map's sum; pass a number above 0"):
            resynthesise(fitted, clips[0][-1:], share=share)
