"""Clips: every form of input, every kind of file, and every way in which one can be bad."""

import pickle
import re
import struct
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from sklasd.clips._clip_error import ClipError
from sklasd.clips._map_clips import collect, map_clips
from sklasd.clips._sound_file import BadClipError, ClipFormat
from sklasd.clips._waveforms import list_clips, load_waveform

FORM = ClipFormat(16000)


def load(*sources, form=FORM, **kwargs):
    return list(map_clips(lambda wave: wave, list(sources), form, **kwargs))


class TestForms:
    def test_paths(self, tmp_path):
        paths = [tmp_path / "a.wav", str(tmp_path / "b.wav")]
        assert list_clips(paths) == paths
        assert list_clips(np.array(list(map(str, paths)))) == list(map(str, paths))
        assert list_clips(pd.Series(map(str, paths), index=[7, 7])) == list(map(str, paths))
        assert list_clips(tuple(paths)) == paths

    def test_clip_table(self):
        table = pd.DataFrame({"label": [1, 1], "path": ["a.wav", "b.wav"]}, index=[3, 1])
        assert list_clips(table) == ["a.wav", "b.wav"]

    def test_arrays(self, rng):
        X = rng.normal(size=(2, 100))
        for sources in (list_clips(X), list_clips(list(X)), list_clips(pd.Series(list(X)))):
            np.testing.assert_array_equal(sources, X)

    @pytest.mark.parametrize(
        ("X", "words"),
        [
            ("a.wav", r"single path 'a.wav'; pass a list"),
            (pd.DataFrame({"file": ["a.wav"]}), r"without a 'path' column .*\['file'\]"),
            (np.zeros(100), r"shape \(100,\).*single waveform x is passed as \[x\]"),
            (np.zeros((2, 2, 5)), r"shape \(2, 2, 5\)"),
            ([], "0 clips"),
        ],
    )
    def test_what_is_no_clips(self, X, words):
        with pytest.raises(ValueError, match=words):
            list_clips(X)


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "subtype", "tolerance"),
        [
            ("a.wav", "PCM_U8", 2e-2),
            ("a.wav", "PCM_16", 1e-4),
            ("a.wav", "PCM_24", 1e-6),
            ("a.wav", "PCM_32", 1e-6),
            ("a.wav", "FLOAT", 0),
            ("a.wav", "DOUBLE", 1e-7),
            ("a.flac", "PCM_16", 1e-4),
            ("a.ogg", "VORBIS", 0.2),
            ("a.mp3", "MPEG_LAYER_III", 0.5),
        ],
    )
    def test_formats(self, tmp_path, rng, name, subtype, tolerance):
        wave = np.sin(np.arange(16000) / 20).astype(np.float32) * 0.5
        soundfile.write(tmp_path / name, wave, 16000, subtype=subtype)
        (loaded,) = load(tmp_path / name)
        assert loaded.dtype == np.float32
        np.testing.assert_allclose(loaded[:16000], wave, atol=tolerance)

    def test_resampling(self, write_clip):
        path = write_clip(sample_rate=44100, seconds=1)
        wave, _ = soundfile.read(path, dtype="float32")
        (loaded,) = load(path)
        np.testing.assert_array_equal(loaded, soxr.resample(wave, 44100, 16000))
        assert len(loaded) == 16000

    def test_blocks_make_the_same_waveform(self, write_clip, monkeypatch):
        monkeypatch.setattr("sklasd.clips._sound_file._BLOCK", 1000)
        path = write_clip(sample_rate=44100, channels=2, seconds=0.5)
        wave, _ = soundfile.read(path, dtype="float32")
        (loaded,) = load(path)
        np.testing.assert_array_equal(loaded, soxr.resample(wave.mean(axis=1), 44100, 16000))

    def test_channels(self, write_clip):
        path = write_clip(channels=2)
        wave, _ = soundfile.read(path, dtype="float32")
        assert np.array_equal(load(path)[0], wave.mean(axis=1))
        for channel in (0, 1):
            form = ClipFormat(16000, channel=channel)
            np.testing.assert_array_equal(load(path, form=form)[0], wave[:, channel])
        with pytest.raises(ClipError, match=r"clip.wav'\) has 2 channel\(s\), so channel=2"):
            load(path, form=ClipFormat(16000, channel=2))

    def test_duration_crops_and_repeats(self, write_clip):
        path = write_clip(seconds=0.5)
        wave, _ = soundfile.read(path, dtype="float32")
        (short,) = load(path, form=ClipFormat(16000, duration=0.2))
        (long,) = load(path, form=ClipFormat(16000, duration=1.2))
        np.testing.assert_array_equal(short, wave[:3200])
        np.testing.assert_array_equal(long, np.concatenate([wave, wave, wave[:3200]]))

    def test_reads_no_more_than_it_needs(self, write_clip, monkeypatch):
        read, wanted = soundfile.SoundFile.read, []

        def spy(self, frames=-1, *args, **kwargs):
            wanted.append(frames)
            return read(self, frames, *args, **kwargs)

        monkeypatch.setattr(soundfile.SoundFile, "read", spy)
        load(write_clip(seconds=2), form=ClipFormat(16000, duration=0.1))
        assert wanted == [1600]


@contextmanager
def no_more_than(n_bytes):
    """Fail where arrays take more memory at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < n_bytes
    finally:
        tracemalloc.stop()


def _wav_with(tmp_path, name, *, sample_rate=16000, stated=200, there=200):
    """Write a WAV by hand, whose header may lie."""
    header = b"RIFF" + struct.pack("<I", 36 + stated) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    header += b"data" + struct.pack("<I", stated)
    path = tmp_path / name
    path.write_bytes(header + b"\x10\x20" * (there // 2))
    return path


class TestBadClips:
    def test_each_kind_says_what_to_do(self, tmp_path, write_clip):
        flac = tmp_path / "cut.flac"
        whole = Path(write_clip("whole.flac", seconds=3)).read_bytes()
        flac.write_bytes(whole[:20000])
        (tmp_path / "nothing.wav").touch()
        (tmp_path / "text.wav").write_text("this is no sound at all" * 100)
        soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
        spoilt = np.full(1000, 0.1, dtype=np.float32)
        spoilt[7] = np.nan
        soundfile.write(tmp_path / "unclosed.wav", np.zeros(8000), 16000, subtype="PCM_16")
        with open(tmp_path / "unclosed.wav", "r+b") as file:
            file.seek(40)  # the size of the data, as it is until a recorder writes it
            file.write(bytes(4))
        bad = {
            tmp_path / "missing.wav": "does not exist; check",
            tmp_path: "is a folder; pass the files in it",
            tmp_path / "nothing.wav": "is an empty file",
            tmp_path / "text.wav": "cannot be read as audio .*convert it",
            tmp_path / "empty.wav": "is empty; leave it out",
            tmp_path / "unclosed.wav": "has 16044 bytes, but no sound .*repair the header",
            _wav_with(tmp_path, "cut.wav", stated=4000, there=400): "truncated: 400 of 4000 bytes",
            flac: "truncated|cannot be read as audio",
            _wav_with(tmp_path, "rate.wav", sample_rate=0): "sample rate of 0|cannot be read",
        }
        for path, words in bad.items():
            with pytest.raises(BadClipError, match=words):
                load_waveform(path, FORM)
        with pytest.raises(BadClipError, match=r"has nan .* at sample 7; repair"):
            load_waveform(spoilt, FORM)
        with pytest.raises(BadClipError, match="has inf"):
            load_waveform(np.array([0, np.inf]), FORM)
        with pytest.raises(BadClipError, match=r"reaches 1e\+300 at sample 1, .* to \[-1, 1\]"):
            load_waveform(np.array([0, 1e300]), FORM)
        with pytest.raises(BadClipError, match=r"int16; divide PCM"):
            load_waveform(np.zeros(10, dtype=np.int16), FORM)
        with pytest.raises(BadClipError, match=r"shape \(2, 5\); a waveform is 1-D"):
            load_waveform(np.zeros((2, 5)), FORM)
        with pytest.raises(BadClipError, match="a clip is a path or"):
            load_waveform(np.array(["a"]), FORM)
        with pytest.raises(BadClipError, match=r"only 10 samples at 16000 Hz, fewer than the 1024"):
            load_waveform(np.ones(10), ClipFormat(16000, min_samples=1024))

    @pytest.mark.parametrize("sample_rate", [2, 999, 768_001, 2**31 - 1])
    def test_rates_that_no_microphone_has(self, tmp_path, sample_rate):
        path = _wav_with(tmp_path, "rate.wav", sample_rate=sample_rate)
        with pytest.raises(BadClipError, match=f"rate of {sample_rate} Hz.*1000 to 768000.*again"):
            load_waveform(path, FORM)

    @pytest.mark.parametrize("n_frames", [68 * 10**9, 10**7])
    def test_more_frames_than_the_file_can_hold(self, write_clip, n_frames):
        path = Path(write_clip("a.flac"))
        data = bytearray(path.read_bytes())
        data[21] = (data[21] & 0xF0) | (n_frames >> 32)  # 36 bits, behind "fLaC" and STREAMINFO
        data[22:26] = (n_frames & 0xFFFFFFFF).to_bytes(4, "big")
        path.write_bytes(data)
        with no_more_than(50 * 2**20), pytest.raises(BadClipError) as caught:
            load_waveform(path, FORM)  # the shorter one could be so long, and is cut
        words = "more than its .* bytes can hold" if n_frames > 10**9 else "damaged|truncated"
        assert re.search(words, str(caught.value))

    def test_long_clips(self, write_clip):
        path = write_clip(seconds=2)
        form = FORM._replace(max_duration=1.0)
        words = "lasts 2 s, longer than max_duration=1; cut it .*duration="
        for source in (path, np.zeros(32000)):
            with pytest.raises(BadClipError, match=words):
                load_waveform(source, form)
            assert len(load_waveform(source, form._replace(duration=0.5))[0]) == 8000
            assert len(load_waveform(source, form._replace(max_duration=2.0))[0]) == 32000

    def test_damaged_is_not_another_format(self, tmp_path, write_clip):
        path = Path(write_clip("a.flac", seconds=3))
        data = bytearray(path.read_bytes())
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        path.write_bytes(data)
        with pytest.raises(BadClipError, match="damaged: copy it again") as caught:
            load_waveform(path, FORM)
        assert "convert" not in str(caught.value)
        (tmp_path / "a.raw").write_bytes(b"12345678")
        with pytest.raises(BadClipError, match="raw, without a header"):
            load_waveform(tmp_path / "a.raw", FORM)

    def test_channels_that_cancel(self, tmp_path, rng):
        wave = 0.1 * rng.standard_normal(8000)
        soundfile.write(tmp_path / "a.wav", np.column_stack([wave, -wave]), 16000)
        with pytest.raises(BadClipError, match=r"2 channels that cancel .*pass channel=0"):
            load_waveform(tmp_path / "a.wav", FORM)
        assert load_waveform(tmp_path / "a.wav", FORM._replace(channel=0))[0].any()

    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA, 3.0])
    def test_missing_paths(self, write_clip, missing):
        path = write_clip()
        table = pd.DataFrame({"path": [path, missing]}, index=[4, 4])
        for X in ([path, missing], table, table["path"]):
            words = r"1 of 2 clips.*clip 1 is \S+, neither a path nor a waveform; fill"
            with pytest.raises(ClipError, match=re.compile(words, re.DOTALL)):
                load(*list_clips(X))
        with pytest.raises(ClipError, match=r"clip 0 is nan, neither"):
            load(*list_clips(pd.DataFrame({"path": [np.nan]})))

    def test_streamed_header_is_no_truncation(self, tmp_path):
        path = _wav_with(tmp_path, "streamed.wav", stated=0xFFFFFFFF - 36, there=4000)
        assert len(load_waveform(path, FORM)[0]) == 2000

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_all_are_named_at_once(self, tmp_path, write_clip, n_jobs):
        good = write_clip()
        sources = [tmp_path / "a.wav", good, np.array([np.inf]), good, tmp_path / "b.wav"]
        with pytest.raises(ClipError, match="3 of 5 clips cannot be used") as caught:
            load(*sources, n_jobs=n_jobs)
        assert list(caught.value.clips) == [0, 2, 4]
        for words in ("clip 0 ('", "a.wav') does not exist", "clip 2 has inf", "b.wav'"):
            assert words in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value)
        assert again.clips == caught.value.clips

    def test_silent_clips_are_told(self, rng):
        clips = [np.zeros(100), rng.normal(size=100), np.full(100, 0.5)]
        with pytest.warns(UserWarning, match=r"2 of 3 clips are silent .*: clip 0, clip 2\. Check"):
            assert len(load(*clips)) == 3


class TestClipError:
    SENTENCE = "Got size=9, but {clips}; record longer ones."

    def test_thousands_do_not_fill_the_screen(self):
        error = ClipError(5000, dict.fromkeys(range(5000), "is bad"))
        assert "and 4900 more" in str(error)
        assert len(error.clips) == 5000
        error = ClipError(5000, dict.fromkeys(range(5000), "is bad"), sentence=self.SENTENCE)
        assert str(error).endswith("clip 9 is bad and 4990 more; record longer ones.")

    def test_moved(self):
        error = ClipError(3, {0: "says clip 2", 2: "is bad"}, {0: "a.wav", 2: np.zeros(2)})
        error.add_note("of a group")
        moved = error.moved(np.array([8, 5, 2]), 10)
        assert str(moved) == (
            "2 of 10 clips cannot be used:\n  clip 2 is bad.\n  clip 8 ('a.wav') says clip 2."
        )
        assert moved.__notes__ == ["of a group"]

    def test_moved_in_a_sentence(self):
        error = ClipError(2, {0: "has 2 frames", 1: "has 3"}, sentence=self.SENTENCE)
        assert str(error.moved([1, 0], 4)) == (
            "Got size=9, but clip 0 has 3, clip 1 has 2 frames; record longer ones."
        )

    def test_joined(self):
        errors = [ClipError(9, {i: "has 2 frames"}, sentence=self.SENTENCE) for i in (3, 1)]
        for number, error in enumerate(errors):
            error.add_note(f"note {number}")
        joined = ClipError.joined(errors)
        assert str(joined) == (
            "Got size=9, but clip 1 has 2 frames, clip 3 has 2 frames; record longer ones."
        )
        assert joined.__notes__ == ["note 0", "note 1"]

    def test_joined_of_two_kinds(self):
        short = ClipError(9, {3: "has 2 frames"}, sentence=self.SENTENCE)
        joined = ClipError.joined([short, ClipError(9, {1: "is empty; leave it out"})])
        assert str(joined) == (
            "2 of 9 clips cannot be used:\n  clip 1 is empty; leave it out.\n"
            "  clip 3 has 2 frames; record longer ones."
        )

    @pytest.mark.parametrize("sentence", [None, SENTENCE])
    def test_comes_out_of_a_worker_whole(self, sentence):
        error = ClipError(3, {1: "is bad"}, {1: Path("a.wav")}, sentence)
        error.add_note("of a group")
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error)
        assert (again.clips, again.n_clips) == (error.clips, 3)
        assert again.__notes__ == ["of a group"]


class TestMapClips:
    def test_order_is_kept_in_threads(self, rng):
        clips = [rng.normal(size=n) for n in range(10, 110)]
        lengths = map_clips(len, clips, FORM, n_jobs=2)
        assert list(lengths) == list(range(10, 110))

    def test_threads_of_torch_are_put_back(self, rng):
        import torch

        before = torch.get_num_threads()
        list(map_clips(len, list(rng.normal(size=(3, 50))), FORM, n_jobs=2))
        assert torch.get_num_threads() == before

    def test_no_bar_without_a_terminal(self, rng, capfd, monkeypatch):
        monkeypatch.setattr("sklasd.utils._progress.tqdm.monitor_interval", 0)
        list(map_clips(len, list(rng.normal(size=(3, 50))), FORM))
        assert capfd.readouterr() == ("", "")


class TestCollect:
    def test_no_room_is_taken_for_what_will_not_come(self):
        rows = (np.zeros(2**20 if i == 0 else 1) for i in range(2**20))
        assert len(collect(rows, 2**20)) == 2**20  # room for all of the first size: 8 TB

    def test_one_clip(self):
        assert collect(iter([np.zeros(3)]), 1).shape == (1, 3)

    def test_equal_shapes_share_one_array(self, rng):
        rows = rng.normal(size=(5, 3, 2))
        together = collect(iter(rows), 5)
        np.testing.assert_array_equal(together, rows)

    def test_other_shapes_make_a_list(self):
        rows = [np.full(n, n) for n in (3, 3, 2, 3)]
        for row, expected in zip(collect(iter(rows), 4), rows, strict=True):
            np.testing.assert_array_equal(row, expected)
