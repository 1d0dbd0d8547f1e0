"""LogMel: parity with librosa, and a transformer as scikit-learn users expect it."""

import pickle

import librosa
import numpy as np
import pandas as pd
import pytest
import sklearn
import soundfile
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklasd import ClipError, LogMel
from sklasd.features._front_end import FrontEnd


def reference(wave, *, sample_rate=16000, top_db=None, duration=None, **params):
    mel = librosa.feature.melspectrogram(y=wave, sr=sample_rate, **params)
    return librosa.power_to_db(mel, top_db=top_db)


@pytest.fixture
def machine(rng):
    """One second of hum and hiss, with 80 dB between them."""
    t = np.arange(16000) / 16000
    hum = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 6))
    return (0.2 * hum + 2e-4 * rng.standard_normal(16000)).astype(np.float32)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_fft": 2048},
        {"n_fft": 1024, "win_length": 400, "hop_length": 160},
        {"n_fft": 512, "win_length": 511, "hop_length": 171},
        {"n_fft": 400, "hop_length": 256, "n_mels": 64},
        {"n_mels": 64, "fmin": 50.0, "fmax": 7000.0},
        {"n_mels": 3},
        {"htk": True},
        {"power": 1.0},
        {"power": 1.5},
        {"top_db": 40.0},
        {"top_db": 80.0, "n_fft": 2048},
        {"sample_rate": 32000, "hop_length": 320, "n_mels": 64, "fmin": 50.0, "fmax": 14000.0},
    ],
    ids=str,
)
def test_parity_with_librosa(machine, params):
    ours = LogMel(**{"n_mels": 128, "hop_length": 512, "n_fft": 1024} | params).transform([machine])
    theirs = reference(machine, **{"n_mels": 128, "hop_length": 512, "n_fft": 1024} | params)
    assert ours.shape == (1, *theirs.shape)
    assert ours.dtype == np.float32
    assert np.abs(ours[0] - theirs).max() < 1e-3


@pytest.mark.parametrize("level", [0, 1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_parity_below_loud_tones(rng, level, power):
    t = np.arange(16000) / 16000
    wave = np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 5000 * t)
    wave = (wave + level * rng.standard_normal(16000)).astype(np.float32)
    for params in ({"n_fft": 1024}, {"n_fft": 512, "win_length": 300}):
        (ours,) = LogMel(n_mels=40, power=power, **params).transform([wave])
        theirs = reference(wave, n_mels=40, hop_length=512, power=power, **params)
        assert np.abs(ours - theirs).max() < 1e-3


def test_parity_on_real_recordings(real_data):
    for path in sorted(real_data.glob("*/test/*01.flac")):
        wave, _ = soundfile.read(path, dtype="float32")
        theirs = reference(wave, n_fft=1024, hop_length=512)
        assert np.abs(LogMel().transform([path])[0] - theirs).max() < 1e-3, path


def test_lengths_that_differ_share_their_memory(rng):
    from sklasd.features._mel_bands import MelBands

    bands = MelBands(np.ones((4, 33)), 64, 64, 2.0, "cpu")
    for n_frames in rng.integers(1, 50, size=20):
        bands(torch.randn(int(n_frames), 64))
    assert len(bands._of_thread.buffers) <= 2


def test_number_of_frames():
    for n_samples in (1024, 15999, 16000, 16384):
        (spectrogram,) = LogMel().transform([np.ones(n_samples) * np.arange(n_samples)])
        assert spectrogram.shape == (128, 1 + n_samples // 512)


def test_lengths_that_differ_give_a_list(machine):
    features = LogMel().transform([machine, machine[:8000], machine])
    assert [f.shape for f in features] == [(128, 32), (128, 16), (128, 32)]
    whole = LogMel(duration=1.0).transform([machine, machine[:8000]])
    assert whole.shape == (2, 128, 32)


def test_frames_lie_end_to_end_in_memory(machine):
    features = LogMel().transform([machine, machine])
    assert features.transpose(0, 2, 1).flags.c_contiguous


def test_every_form_of_clips_gives_the_same(write_clip):
    paths = [write_clip(f"{i}.flac") for i in range(3)]
    waves = np.stack([soundfile.read(path, dtype="float32")[0] for path in paths])
    expected = LogMel().transform(paths)
    table = pd.DataFrame({"path": paths}, index=[5, 5, 5])
    for X in (table, np.array(paths), waves, list(waves), waves.astype(np.float64)):
        np.testing.assert_array_equal(LogMel().transform(X), expected)
    for n_jobs in (2, -1):
        np.testing.assert_array_equal(LogMel(n_jobs=n_jobs).transform(paths), expected)


def test_as_a_transformer(machine):
    logmel = LogMel(n_mels=16)
    assert logmel.fit(None) is logmel
    assert list(logmel.get_feature_names_out()) == [f"{hz:.0f}Hz" for hz in logmel.mel_frequencies]
    assert clone(logmel).get_params() == logmel.get_params()
    again = pickle.loads(pickle.dumps(logmel))
    np.testing.assert_array_equal(again.transform([machine]), logmel.transform([machine]))
    assert repr(logmel) == "LogMel(n_mels=16)"
    pipeline = make_pipeline(logmel, FunctionTransformer(np.mean, kw_args={"axis": (1, 2)}))
    assert pipeline.fit_transform([machine, machine]).shape == (2,)


def test_set_output(machine):
    assert LogMel().set_output(transform="default").transform([machine]).ndim == 3
    with pytest.raises(ValueError, match='"default" here'):
        LogMel().set_output(transform="pandas")


class Halved(LogMel):
    """A front end of a user, with a `transform` of its own."""

    def transform(self, X):
        return super().transform(X) / 2


class Heights(FrontEnd):
    """A front end that stands on the base alone, with names of its rows."""

    clip_format = frequencies = times = None
    n_jobs, channel, device = None, "mean", "cpu"

    def transform(self, X):
        return np.ones((len(X), 2, 3))

    def get_feature_names_out(self, input_features=None):
        return np.array(["low", "high"])


@pytest.mark.parametrize("container", ["pandas", "default"])
@pytest.mark.parametrize("kind", [LogMel, Halved, Heights, type("Grandchild", (Halved,), {})])
def test_a_global_container_does_not_reach_spectrograms(machine, kind, container):
    with sklearn.config_context(transform_output=container):
        for spectrograms in (
            kind().fit_transform([machine]),
            kind().fit(None).transform([machine]),
        ):
            assert isinstance(spectrograms, np.ndarray)
            assert spectrograms.ndim == 3


def test_mel_frequencies_are_the_peaks_of_the_filters():
    logmel = LogMel(n_fft=16384, n_mels=40, htk=True, fmin=100)
    filters = librosa.filters.mel(sr=16000, n_fft=16384, n_mels=40, htk=True, fmin=100)
    peaks = filters.argmax(axis=1) * 16000 / 16384
    np.testing.assert_allclose(logmel.mel_frequencies, peaks, atol=1)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_fft": 512, "win_length": 1000}, "win_length=1000, longer than n_fft=512.*n_fft=1024"),
        ({"fmax": 9000.0}, "fmax=9000.0 Hz, above half the sample_rate=16000"),
        ({"fmin": 8000.0}, "fmin=8000.0 Hz, not below fmax=8000"),
        ({"fmin": 500.0, "fmax": 400.0}, "fmin=500.0 Hz, not below fmax=400"),
        ({"n_mels": 0}, "n_mels"),
        ({"hop_length": 0.5}, "hop_length"),
        ({"channel": "left"}, "channel"),
        ({"device": "gpu0"}, 'device=.gpu0.; pass "auto"'),
        ({"duration": 0}, "duration"),
        ({"max_duration": 0}, "max_duration"),
    ],
)
def test_bad_parameters_are_told_by_fit(params, words):
    with pytest.raises(ValueError, match=words):
        LogMel(**params).fit(None)


def test_bad_clips_are_named(tmp_path):
    with pytest.raises(ClipError, match=r"clip 1 \('.*gone.wav'\) does not exist"):
        LogMel().transform([np.ones(2000) * np.arange(2000), tmp_path / "gone.wav"])
    with pytest.raises(ClipError, match=r"clip 0 has only 500 samples"):
        LogMel().transform(np.random.default_rng(0).normal(size=(1, 500)))


def test_what_overflows_is_named(tmp_path):
    loud = np.full(4000, 1e30, dtype=np.float32)
    soundfile.write(tmp_path / "loud.wav", loud, 16000, subtype="FLOAT")
    with pytest.raises(ClipError, match=r"clip 0 \('.*loud.wav'\) reaches 1e\+30 at sample 0"):
        LogMel().transform([tmp_path / "loud.wav"])
    with pytest.raises(ClipError, match=r"clip 0 reaches .* to the power=8.0 overflow; scale it"):
        LogMel(power=8.0).transform([1e6 * np.sin(np.arange(4000))])


def test_long_clips_are_named(machine):
    with pytest.raises(ClipError, match=r"clip 0 lasts 1 s, longer than max_duration=0\.5"):
        LogMel(max_duration=0.5).transform([machine])
    assert LogMel(max_duration=0.5, duration=0.5).transform([machine]).shape == (1, 128, 16)
    assert len(LogMel(max_duration=None).transform([machine])) == 1


def test_frames_are_cut_a_few_at_a_time(machine, monkeypatch):
    params = {"n_fft": 512, "win_length": 511, "hop_length": 171, "n_mels": 40}
    for odd in ({}, {"n_fft": 511}):
        whole = LogMel(**params | odd).transform([machine])
        with monkeypatch.context() as patch:
            patch.setattr("sklasd.features._log_mel._CACHED", 7 * 512)
            few = LogMel(**params | odd).transform([machine])
        np.testing.assert_allclose(few, whole, atol=1e-4)


@pytest.mark.gpu
def test_gpu_agrees(machine):
    on_cpu = LogMel().transform([machine])
    on_gpu = LogMel(device="cuda").transform([machine])
    assert np.abs(on_cpu - on_gpu).max() < 1e-3
    assert torch.cuda.is_available()
