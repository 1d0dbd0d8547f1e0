"""Altered copies: what they sound like, who sees them, and who never does."""

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy.signal import find_peaks
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklasd import (
    Augmented,
    ClipStatistics,
    FusionDetector,
    KNNDetector,
    LogMel,
    OEAutoencoder,
    StatisticsDetector,
    make_pipeline,
)
from sklasd.base import BaseDetector, TrainingClips
from sklasd.base._calibration import calibration_folds
from sklasd.base._unwrap import clip_format, detector_of
from sklasd.clips._waveforms import ClipFormat, list_clips, load_waveform
from sklasd.features import _altered_clips
from sklasd.features._altered_clips import Augmentation, alter_clips
from sklasd.features._effects import mix, pitch_shift, time_stretch
from sklasd.features._fault_sounds import draw_band, draw_impacts
from sklasd.metrics import auc_score
from sklasd.model_selection import NormalOnlySplit

RATE = 8000
FORM = ClipFormat(RATE)
LOUDER = {"pitch_shift": None, "time_stretch": None, "gain": (1.0, 6.0), "random_state": 0}


@pytest.fixture(scope="module")
def waves():
    """Twenty noise clips, each at a level of its own."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, RATE)) * 10 ** rng.uniform(-2, -1, (20, 1))


def sine(frequency, seconds=1.0):
    return np.sin(2 * np.pi * frequency * np.arange(seconds * RATE) / RATE).astype(np.float32)


def decibels(wave):
    return 10 * np.log10(np.mean(np.square(wave, dtype=float)))


def alter(wave, random_state=0, **ranges):
    ((copy,),) = alter_clips([wave], FORM, [Augmentation(**ranges)], random_state=random_state)
    return copy


class TestEffects:
    def test_gain_is_exact(self, waves):
        copy = alter(waves[0], gain=(-7.5, -7.5))
        np.testing.assert_allclose(copy, waves[0] * 10 ** (-7.5 / 20), rtol=1e-6)

    def test_ratio_is_exact(self, waves):
        noise = alter(waves[0], snr=(12, 12)) - waves[0]
        assert decibels(waves[0]) - decibels(noise) == pytest.approx(12, abs=1e-4)
        assert abs(np.corrcoef(noise, waves[0])[0, 1]) < 0.05

    def test_ratio_is_that_of_the_louder_copy(self, waves):
        noise = alter(waves[0], gain=(20, 20), snr=(12, 12)) - 10 * waves[0]
        assert decibels(10 * waves[0]) - decibels(noise) == pytest.approx(12, abs=1e-4)

    @pytest.mark.parametrize("semitones", [-12, -2.5, 0.7, 5])
    def test_pitch(self, semitones):
        shifted = pitch_shift(sine(600), semitones)
        spectrum = np.abs(np.fft.rfft(shifted * np.hanning(RATE)))
        assert spectrum.argmax() == pytest.approx(
            600 * 2 ** (semitones / 12), abs=4
        )  # bins of 1 Hz

    @pytest.mark.parametrize("rate", [0.8, 1.25])
    def test_tempo(self, rate):
        strokes = np.random.default_rng(0).normal(size=8 * RATE).astype(np.float32)
        strokes *= np.arange(8 * RATE) % 2000 < 500  # 4 Hz
        heard = np.abs(time_stretch(strokes, rate)[: 6 * RATE])
        spectrum = np.abs(np.fft.rfft(heard - heard.mean(), n=60 * RATE))
        assert spectrum.argmax() / 60 == pytest.approx(4 * rate, abs=0.05)

    def test_pitch_leaves_the_tempo_and_tempo_the_pitch(self):
        spectrum = np.abs(np.fft.rfft(time_stretch(sine(600), 1.2)[:4000] * np.hanning(4000)))
        assert 2 * spectrum.argmax() == pytest.approx(600, abs=4)

    @pytest.mark.parametrize("n_samples", [64, 100, 3001, 9000])
    def test_length_is_kept(self, n_samples):
        wave = np.random.default_rng(0).normal(size=n_samples)
        ranges = {"pitch_shift": (-3, 3), "time_stretch": (0.7, 1.4), "snr": (0, 9)}
        copy = alter(wave, **ranges)
        assert copy.shape == (n_samples,)
        assert copy.dtype == np.float32
        assert np.isfinite(copy).all()

    def test_what_is_missing_is_the_beginning_again(self, waves):
        wave = waves[0].astype(np.float32)
        stretched = time_stretch(wave, 2.0)
        np.testing.assert_array_equal(stretched[: RATE // 2], stretched[RATE // 2 :])

    def test_noise_is_of_one_octave(self):
        noise = draw_band(RATE, RATE, np.random.default_rng(0))
        power = np.square(np.abs(np.fft.rfft(noise)))
        heard = np.flatnonzero(power > 1e-9 * power.max())
        assert heard[-1] / heard[0] == pytest.approx(2, rel=0.02)

    def test_impacts_are_regular(self):
        impacts = draw_impacts(4 * RATE, RATE, np.random.default_rng(1))
        envelope = np.abs(impacts)
        peaks, _ = find_peaks(envelope, height=0.9 * envelope.max(), distance=RATE // 100)
        gaps = np.diff(peaks)
        assert gaps.min() >= RATE / 50 - 1
        assert np.ptp(gaps) <= 1  # a sample

    def test_zeros_stay_zeros(self):
        np.testing.assert_array_equal(mix(np.zeros(8), np.ones(8), 0), np.zeros(8))


class TestSeeds:
    RANGES = {"gain": (-6, 6), "snr": (0, 20)}  # noqa: RUF012

    def copies(self, sources, n_copies=2, **params):
        effects = [Augmentation(**self.RANGES)] * n_copies
        return alter_clips(sources, FORM, effects, **({"random_state": 0} | params))

    def test_same_seed_same_copies(self, waves):
        first, again = self.copies(list(waves)), self.copies(list(waves))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, self.copies(list(waves), random_state=1))
        assert not np.array_equal(first, self.copies(list(waves), random_state=None))

    def test_workers_do_not_matter(self, waves):
        np.testing.assert_array_equal(
            self.copies(list(waves[:4])), self.copies(list(waves[:4]), n_jobs=2)
        )

    def test_order_and_company_do_not_matter(self, waves):
        all_of_them = self.copies(list(waves))
        np.testing.assert_array_equal(self.copies([waves[7]])[0], all_of_them[7])

    def test_copies_differ_and_fewer_are_the_first(self, waves):
        (three,) = self.copies([waves[0]], n_copies=3)
        assert not np.array_equal(three[0], three[1])
        np.testing.assert_array_equal(self.copies([waves[0]])[0], three[:2])

    def test_a_file_has_the_copies_of_its_sound(self, write_clip):
        path = write_clip(sample_rate=RATE)
        wave, _ = load_waveform(path, FORM)
        np.testing.assert_array_equal(self.copies([path]), self.copies([wave]))

    def test_global_generators_are_left_alone(self, waves):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        self.copies([waves[0]])
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    def test_memory(self, waves, tmp_path, write_clip, monkeypatch):
        path = write_clip(sample_rate=RATE)
        first = self.copies([path, waves[0][:4000]], memory=str(tmp_path / "cache"))
        n_kept = len(list(tmp_path.rglob("output.pkl")))
        assert n_kept == 2
        with monkeypatch.context() as patch:
            patch.setattr(_altered_clips, "load_waveform", None)  # found, not made
            again = self.copies([path, waves[0][:4000]], memory=str(tmp_path / "cache"))
        np.testing.assert_array_equal(first, again)
        write_clip(sample_rate=RATE)  # other noise in the same file
        changed = self.copies([path], memory=str(tmp_path / "cache"))
        assert not np.array_equal(changed[0], first[0])
        self.copies([path], memory=str(tmp_path / "none"), random_state=None)
        assert not (tmp_path / "none").exists()


def by_statistics():
    return make_pipeline(LogMel(sample_rate=RATE), StatisticsDetector(threshold="quantile"))


class Level(TransformerMixin, BaseEstimator):
    """The level of each clip, in dB: a front end in miniature."""

    def __init__(self, sample_rate=RATE, channel="mean"):
        self.sample_rate = sample_rate
        self.channel = channel

    @property
    def clip_format(self):
        return ClipFormat(self.sample_rate, self.channel)

    def fit(self, X, y=None):
        self.kind_ = type(X)
        return self

    def transform(self, X):
        form = self.clip_format
        return np.array([[decibels(load_waveform(source, form)[0])] for source in list_clips(X)])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class Spy(BaseDetector):
    """Keeps what it learns from and what it scores, in lists that all folds share."""

    def __init__(self, log=None, threshold="quantile", contamination=0.25, calibration="auto"):
        self.log = log
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration

    def _learn(self, clips: TrainingClips):
        LOG[self.log].append(("learnt", clips, clips.data[clips.normal_index, 0]))
        self.mean_ = clips.data[clips.normal_index].mean()

    def _score_samples(self, data, index=None, section=None):
        rows = data if index is None else data[index]
        LOG[self.log].append(("scored", None, rows[:, 0]))
        return -np.abs(rows[:, 0] - self.mean_)


LOG: dict = {}  # outside of the estimators: a clone has a log of its own otherwise


@pytest.fixture
def spied(request):
    """Return a function that fits an augmented spy, and returns it with its log."""
    name = request.node.name
    LOG[name] = []

    def fit(X, y=None, *, calibration="auto", copies=2, **metadata):
        spy = Spy(name, calibration=calibration)
        augmented = Augmented(make_pipeline(Level(), spy), copies=copies, **LOUDER)
        return augmented.fit(X, y, **metadata), LOG[name]

    yield fit
    del LOG[name]


class TestWhoSeesCopies:
    def test_they_inherit_all(self, waves, spied):
        y = np.where(np.arange(20) % 5 == 4, -1, 1)
        exposed = np.arange(20) % 7 == 0
        section, domain = np.arange(20) % 3, np.array(["source", "target"])[np.arange(20) % 2]
        groups = np.arange(20) // 2
        metadata = {"section": section, "domain": domain, "groups": groups, "exposed": exposed}
        with pytest.warns(UserWarning, match=r"Exposed clips are labelled -1: 14,"):
            augmented, log = spied(waves, y, **metadata)
        clips = log[0][1]
        original = clips.copy_of[20:]
        learnt = np.flatnonzero((y == 1) | exposed)
        np.testing.assert_array_equal(original, np.repeat(learnt, 2))
        assert augmented.n_copies_ == len(original)
        for name in ("normal", "exposed", "section", "domain", "groups"):
            values = getattr(clips, name)
            np.testing.assert_array_equal(values[20:], values[original], err_msg=name)
        np.testing.assert_array_equal(clips.exposed[:20], exposed)
        np.testing.assert_array_equal(clips.normal[:20], (y == 1) & ~exposed)
        gain = clips.data[20:, 0] - clips.data[original, 0]
        assert ((gain > 1 - 1e-4) & (gain < 6 + 1e-4)).all()
        assert len(np.unique(gain.round(4))) == len(gain)

    def test_a_clip_table_may_tell_of_exposed_clips(self, waves, spied):
        exposed = np.arange(20) % 5 == 0
        _, log = spied(pd.DataFrame({"path": list(waves), "exposed": exposed}), copies=1)
        clips = log[0][1]
        assert clips.exposed.sum() == 2 * exposed.sum()
        np.testing.assert_array_equal(clips.recorded_index, np.flatnonzero(~exposed))

    @pytest.mark.parametrize("calibration", ["auto", 3, PredefinedSplit([-1, 0, 1, 0, -1] * 4)])
    @pytest.mark.parametrize("groups", [None, np.arange(20) // 4])
    def test_never_in_calibration_nor_known_to_it(self, waves, spied, calibration, groups):
        if groups is not None and not isinstance(calibration, str | int):
            calibration = PredefinedSplit(np.arange(20) // 4 % 2)
        augmented, log = spied(waves, calibration=calibration, groups=groups)
        levels = np.array([decibels(wave.astype(np.float32)) for wave in waves])
        (_, everything, _), *folds = log
        assert everything.normal.sum() == 60
        scored = []
        for (did, clips, learnt), (then, _, held_out) in zip(folds[::2], folds[1::2], strict=True):
            assert (did, then) == ("learnt", "scored")
            out = np.flatnonzero(np.isin(levels, held_out))
            assert len(out) == len(held_out)  # every scored one is a recording
            in_training = clips.normal_index
            originals = np.where(clips.is_copy, clips.copy_of, np.arange(60))[in_training]
            assert not set(originals) & set(out)
            assert len(learnt) == 3 * len(np.unique(originals))
            if groups is not None:
                assert not set(groups[originals]) & set(groups[out])
            scored.append(held_out)
        assert len(augmented.calibration_scores_) == len(np.concatenate(scored))
        if isinstance(calibration, str | int):
            np.testing.assert_array_equal(np.sort(np.concatenate(scored)), np.sort(levels))

    def test_not_without_a_calibration_either(self, waves, spied):
        augmented, _ = spied(waves, calibration=None)
        np.testing.assert_array_equal(augmented.calibration_scores_, augmented.score_samples(waves))

    def test_folds_are_those_of_the_recordings(self):
        copy_of = np.concatenate([np.full(30, -1), np.repeat(np.arange(30), 2)])
        section = np.concatenate([np.arange(30) % 3, np.repeat(np.arange(30) % 3, 2)])
        augmented = TrainingClips.gather(np.zeros((90, 1)), copy_of=copy_of, section=section)
        plain = TrainingClips.gather(np.zeros((30, 1)), section=section[:30])
        for some, others in zip(
            calibration_folds("auto", augmented), calibration_folds("auto", plain), strict=True
        ):
            np.testing.assert_array_equal(some[0], others[0])
            np.testing.assert_array_equal(some[1], others[1])

    def test_no_copies_is_the_pipeline_alone(self, waves):
        pipeline = by_statistics()
        augmented = Augmented(pipeline, copies=0).fit(waves)
        plain = clone(pipeline).fit(waves)
        assert augmented.offset_ == plain[-1].offset_
        np.testing.assert_array_equal(augmented.score_samples(waves), plain.score_samples(waves))

    def test_closed_forms_are_not_used(self, waves):
        detector = make_pipeline(Level(), KNNDetector(n_neighbors=1, metric="euclidean"))
        augmented = Augmented(detector, **(LOUDER | {"gain": (1e-3, 2e-3)})).fit(waves)
        plain = clone(detector).fit(waves)
        # A clip is next to its copies: only folds tell how far it is from other clips.
        np.testing.assert_allclose(
            np.median(augmented.calibration_scores_), np.median(plain[-1].calibration_scores_),
            rtol=0.05,
        )  # fmt: skip
        assert np.median(augmented.calibration_scores_) < -0.02

    def test_members_of_a_fusion(self, waves):
        forest = make_pipeline(StandardScaler(), IsolationForest(n_estimators=10, random_state=0))
        members = [("spy", Spy("fusion")), ("knn", KNNDetector()), ("forest", forest)]
        LOG["fusion"] = []
        fusion = FusionDetector(members, fusion="zscore", cv=4)
        augmented = Augmented(make_pipeline(Level(), fusion), **LOUDER).fit(
            waves, exposed=np.arange(20) == 3
        )
        assert detector_of(augmented.estimator_).member_distances_.shape == (19, 3)
        assert len(augmented.calibration_scores_) == 19
        _, clips, _ = LOG.pop("fusion")[0]
        assert clips.normal.sum() == 57
        assert clips.exposed.sum() == 3
        is_copy = clips.is_copy
        gain = clips.data[is_copy, 0] - clips.data[clips.copy_of[is_copy], 0]
        assert (np.abs(gain - 3.5) < 2.501).all()  # the right originals

    def test_silent_clips(self, spied, waves):
        dead = waves.copy()
        dead[3] = 0
        augmented = Augmented(by_statistics(), copies=1, **LOUDER)
        with pytest.warns(UserWarning, match="silent|no sound") as told:
            augmented.fit(dead)
        assert augmented.n_copies_ == 19
        assert len(augmented.calibration_scores_) == 19
        assert any("1 of 39 clips are silent" in str(w.message) for w in told)
        assert any("clip 3 has no sound" in str(w.message) for w in told)


class TestForms:
    def test_all_score_the_same(self, write_clip, spied):
        paths = [write_clip(f"{i}.wav", sample_rate=RATE) for i in range(12)]
        table = pd.DataFrame({"path": paths, "speed": range(12)}, index=range(50, 62))
        arrays = [load_waveform(path, FORM)[0] for path in paths]
        kinds = {}
        for X in (paths, table, table["path"], np.stack(arrays), arrays):
            augmented, _ = spied(X)
            kinds[type(X)] = augmented.estimator_[0].kind_
            np.testing.assert_array_equal(
                augmented.score_samples(X), spied(arrays)[0].score_samples(arrays)
            )
        assert kinds[pd.DataFrame] is pd.DataFrame
        assert kinds[np.ndarray] is np.ndarray

    def test_lengths_may_differ(self, waves, spied):
        ragged = [wave[: 4000 + 100 * i] for i, wave in enumerate(waves)]
        assert spied(ragged)[0].n_copies_ == 40

    def test_input_is_left_alone(self, waves, spied):
        before = waves.copy()
        waves.flags.writeable = False
        spied(waves)
        waves.flags.writeable = True
        np.testing.assert_array_equal(waves, before)

    def test_bad_clips_are_named_by_the_front_end(self, write_clip):
        paths = [write_clip("a.wav"), "no-such.wav", write_clip("b.wav")]
        with pytest.raises(ValueError, match=r"(?s)of 5 clips.*clip 1 \('no-such.wav'\) does not"):
            Augmented(make_pipeline(LogMel(), StatisticsDetector()), copies=1, **LOUDER).fit(paths)


@pytest.fixture(scope="module")
def fitted(waves):
    return Augmented(by_statistics(), **LOUDER).fit(waves)


class TestAsAnEstimator:
    @pytest.mark.parametrize(
        "method", ["score_samples", "decision_function", "predict", "p_values", "anomaly_map"]
    )
    def test_it_hands_on(self, fitted, waves, method):
        logmel, detector = fitted.estimator_
        expected = getattr(detector, method)(logmel.transform(waves))
        np.testing.assert_array_equal(getattr(fitted, method)(waves), expected)

    def test_score_table_and_recalibrate(self, waves):
        detector = OEAutoencoder(
            hidden_layer_sizes=(8,), max_epochs=1, calibration=None, random_state=0
        )
        fitted = Augmented(
            make_pipeline(LogMel(sample_rate=RATE), detector), copies=1, **LOUDER
        ).fit(waves)
        table = fitted.score_table(waves)
        np.testing.assert_array_equal(table["reconstruction_mean"], fitted.score_samples(waves))
        assert fitted.recalibrate(waves[:12], [1] * 11 + [-1]) is fitted
        np.testing.assert_array_equal(fitted.calibration_scores_, fitted.score_samples(waves[:11]))

    def test_what_the_detector_cannot_it_cannot(self, fitted):
        assert not hasattr(fitted, "score_table")
        assert not hasattr(Augmented(make_pipeline(Level(), KNNDetector())), "anomaly_map")
        assert hasattr(fitted, "anomaly_map")

    def test_kept_on_disk(self, fitted, waves, tmp_path):
        joblib.dump(fitted, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
        np.testing.assert_array_equal(again.predict(waves), fitted.predict(waves))
        assert clone(fitted).get_params()["gain"] == (1.0, 6.0)
        np.testing.assert_array_equal(clone(fitted).fit_predict(waves), fitted.predict(waves))

    def test_a_search_goes_around(self, waves):
        knn = KNNDetector(calibration=None, threshold="quantile")
        rows = make_pipeline(LogMel(sample_rate=RATE), ClipStatistics(), knn)
        X = np.concatenate([waves, 9 * waves[:6]])
        y = np.repeat([1, -1], [20, 6])
        grid = {"augmented__copies": [0, 1], "augmented__estimator__knndetector__n_neighbors": [1]}
        search = GridSearchCV(
            make_pipeline(Augmented(rows, **LOUDER)), grid, scoring="roc_auc",
            cv=NormalOnlySplit(2), error_score="raise",
        )  # fmt: skip
        search.fit(X, y)
        augmented = search.best_estimator_[-1]
        assert augmented.estimator_[-1].n_neighbors == 1
        assert augmented.n_copies_ == 20 * augmented.copies

    def test_backends_of_joblib(self, waves):
        augmented = Augmented(by_statistics(), **LOUDER)
        with parallel_config("threading", n_jobs=2):
            threaded = clone(augmented).fit(waves).score_samples(waves)
        np.testing.assert_array_equal(threaded, augmented.fit(waves).score_samples(waves))

    def test_quiet_recordings_are_normal_where_copies_say_so(self, waves):
        """Detection is what it is for: a level that copies show is no alarm any more."""
        normal = waves[:, :2000] / np.std(waves, axis=1, keepdims=True)
        louder, faulty = normal[10:] * 2.0, normal[10:] + 3 * sine(1000)[:2000]
        pipeline = by_statistics().set_params(logmel__n_mels=16)
        X, y = np.concatenate([normal[10:], louder, faulty]), np.repeat([1, 1, -1], 10)
        plain, augmented = (
            auc_score(y, each.fit(normal[:10]).score_samples(X))
            for each in (
                pipeline,
                Augmented(pipeline, copies=4, **(LOUDER | {"gain": (-8.0, 8.0)})),
            )
        )
        assert augmented > 0.99
        assert augmented >= plain


class TestErrors:
    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"gain": (6, -6)}, r"gain=\(6, -6\); pass the least and the greatest of dB, or None"),
            ({"time_stretch": (0, 1.1)}, r"time_stretch=\(0, 1.1\); .* rates above 0, or None"),
            ({"snr": (1, 2, 3)}, r"snr=\(1, 2, 3\)"),
            ({"pitch_shift": (0, np.inf)}, r"pitch_shift=\(0, inf\)"),
            ({"pitch_shift": ("a", "b")}, r"pitch_shift=\('a', 'b'\)"),
            ({"pitch_shift": 2}, "'pitch_shift' parameter of Augmented"),
            ({"copies": -1}, "'copies' parameter of Augmented"),
            (
                {"pitch_shift": None, "time_stretch": None},
                "Got None for pitch_shift, time_stretch, gain, snr, .* or copies=0",
            ),
        ],
    )
    def test_parameters(self, params, words):
        augmented = Augmented(make_pipeline(LogMel(), KNNDetector()), **params)
        with pytest.raises(ValueError, match=words):
            augmented.fit(["no-such.wav"])

    @pytest.mark.parametrize(
        ("estimator", "words"),
        [
            (make_pipeline(Level(), IsolationForest()), "ends in IsolationForest.*, which would"),
            (
                GridSearchCV(make_pipeline(Level(), KNNDetector()), {}),
                "Put a search around Augmented",
            ),
            (
                KNNDetector(),
                "KNNDetector, in which no front end was found.*ClipFormat.; .*such as LogMel",
            ),
            (
                FusionDetector([(f"a{r}", make_pipeline(Level(r), KNNDetector())) for r in (1, 2)]),
                r"sample rates \[1, 2\]",
            ),
            (make_pipeline(LogMel(n_mels=0), KNNDetector()), "'n_mels' parameter of LogMel"),
        ],
    )
    def test_estimators(self, estimator, words):
        with pytest.raises(ValueError, match=words):
            Augmented(estimator).fit(["no-such.wav"])

    @pytest.mark.parametrize("name", ["exposed", "section", "domain", "groups", "y"])
    def test_lengths(self, name, waves):
        with pytest.raises(ValueError, match=rf"Got {name} of shape \(1,\)"):
            Augmented(by_statistics(), **LOUDER).fit(waves, **{name: [1]})

    def test_front_ends_that_agree(self):
        fusion = FusionDetector(
            [(f"a{n}", make_pipeline(LogMel(n_mels=n, channel=1), KNNDetector())) for n in (8, 9)]
        )
        assert clip_format(fusion)[:2] == (16000, 1)

    def test_clips_of_any_length_have_copies(self, rng):
        hours = rng.normal(size=(10, 36_010)) / 100  # 7,202 s at 5 Hz
        front_end = LogMel(sample_rate=5, n_fft=256, n_mels=4, max_duration=None)
        pipeline = make_pipeline(
            front_end, StatisticsDetector(threshold="quantile", contamination=0.2)
        )
        assert Augmented(pipeline, **LOUDER).fit(hours).n_copies_ == 20

    def test_what_passes_through_is_no_front_end(self):
        steps = [("no", "passthrough"), ("logmel", LogMel()), ("near", StatisticsDetector())]
        assert Augmented(Pipeline(steps)).__sklearn_tags__().input_tags.string

    @pytest.mark.parametrize(
        "copy_of", [[-1, -1, 3], [-1, 0, 1], [-1, -2, 0], [-1.0, -1.0, 0.0], [0, 1]]
    )
    def test_originals(self, copy_of):
        with pytest.raises(ValueError, match="copy_of"):
            KNNDetector().fit(np.eye(3), copy_of=copy_of)
