"""Windows tile the clip, batches are what slicing gives, and nothing is copied."""

import numpy as np
import pytest
import torch

from sklasd.clips._spectrograms import Spectrograms
from sklasd.training._window_net import WindowLoader
from sklasd.training._windows import cut_windows, overlap_add, window_starts


@pytest.mark.parametrize("n_frames", [5, 6, 64, 65, 127, 313])
@pytest.mark.parametrize(("length", "hop"), [(5, 1), (5, 5), (5, 3), (3, 8), (1, 1)])
def test_windows_tile_the_clip(n_frames, length, hop):
    starts = window_starts(n_frames, length, hop)
    covered = np.zeros(n_frames, dtype=int)
    for start in starts:
        covered[start : start + length] += 1
    assert starts[0] == 0
    assert starts[-1] == n_frames - length
    assert len(np.unique(starts)) == len(starts)
    assert (np.diff(starts)[:-1] == hop).all()
    if hop <= length:
        assert covered.min() >= 1
    if hop == 1:
        assert len(starts) == n_frames - length + 1


def ragged(rng, n_mels=4):
    return [rng.normal(size=(n_mels, n)).astype(np.float32) for n in (7, 12, 5)]


def test_batches_are_slices_of_the_clips(rng):
    clips = ragged(rng)
    windows = cut_windows(Spectrograms.stack(clips), 5, 2, index=[2, 0])
    expected = [clips[2][:, :5], clips[0][:, :5], clips[0][:, 2:7]]
    assert len(windows) == 3
    assert windows.clip.tolist() == [2, 0, 0]
    np.testing.assert_array_equal(windows[[2, 0]], [expected[2], expected[0]])
    np.testing.assert_array_equal(torch.cat(list(windows.batches(2))), expected)


def test_frame_major_spectrograms_are_not_copied(rng):
    X = rng.normal(size=(3, 10, 4)).astype(np.float32).transpose(0, 2, 1)
    spectrograms = Spectrograms.stack(X)
    assert np.shares_memory(spectrograms.frames, X)
    windows = cut_windows(spectrograms, 5, 1)
    assert windows.frames.data_ptr() == X.transpose(0, 2, 1).ctypes.data
    copied = Spectrograms.stack(np.ascontiguousarray(X))
    np.testing.assert_array_equal(copied.frames, spectrograms.frames)


def test_read_only_spectrograms_are_taken_as_they_are(rng):
    X = rng.normal(size=(3, 10, 4)).astype(np.float32)
    X.flags.writeable = False
    cut_windows(Spectrograms.stack(X.transpose(0, 2, 1)), 5, 1)  # warnings are errors here


def test_frames_of_a_window_lie_oldest_first(rng):
    (clip,) = ragged(rng)[:1]
    window = cut_windows(Spectrograms.stack([clip]), 5, 1)[[1]]
    stacked = window.transpose(1, 2).flatten(1)
    assert stacked.is_contiguous()
    np.testing.assert_array_equal(stacked[0], np.concatenate([clip[:, 1 + t] for t in range(5)]))


def test_windows_may_be_picked_with_their_targets(rng):
    windows = cut_windows(Spectrograms.stack(ragged(rng)), 5, 2).with_targets([7, 8, 9])
    index = np.array([6, 0, 0, 3])
    picked = windows.take(index)
    assert torch.equal(picked[slice(None)], windows[torch.as_tensor(index)])
    assert picked.clip.tolist() == windows.clip[index].tolist()
    assert picked.targets.tolist() == windows.targets[index].tolist()
    assert picked.digest != windows.digest


@pytest.mark.parametrize("hop", [1, 3, 5])
def test_whole_clips_are_the_clips(rng, hop):
    clips = ragged(rng)
    windows = cut_windows(Spectrograms.stack(clips), 5, hop, index=[2, 0])
    for whole, clip in zip(windows.whole_clips(), (clips[2], clips[0]), strict=True):
        np.testing.assert_array_equal(whole, clip)


def test_overlap_add_of_the_windows_is_the_clip(rng):
    (clip,) = ragged(rng)[:1]
    windows = cut_windows(Spectrograms.stack([clip]), 3, 2)
    parts = [(windows[[0]], windows.starts[:1]), (windows[[1, 2]], windows.starts[1:])]
    np.testing.assert_allclose(overlap_add(parts, 4, 7), clip, rtol=1e-6)


class TestWindowLoader:
    def windows(self, rng, n_windows):
        clip = rng.normal(size=(2, n_windows)).astype(np.float32)
        return cut_windows(Spectrograms.stack([clip]), 1, 1)

    @pytest.mark.parametrize(("n_windows", "n_batches"), [(8, 2), (9, 2), (10, 3), (3, 1), (1, 1)])
    def test_a_single_last_window_is_dropped(self, rng, n_windows, n_batches):
        loader = WindowLoader(self.windows(rng, n_windows), 4)
        sizes = [len(x) for x, _ in loader]
        assert len(sizes) == len(loader) == n_batches
        assert sum(sizes) == n_windows - (n_windows == 9)

    def test_shuffling_draws_every_window_once(self, rng):
        windows = self.windows(rng, 10)
        drawn = [torch.cat([x for x, _ in WindowLoader(windows, 4, shuffle=True)]) for _ in "ab"]
        assert not torch.equal(*drawn)
        for batch in drawn:
            torch.testing.assert_close(batch.sum(dim=0), windows[:].sum(dim=0))

    def test_the_target_is_the_input(self, rng):
        for x, target in WindowLoader(self.windows(rng, 10), 4):
            assert x is target

    @pytest.mark.parametrize(("n_windows", "n_batches"), [(3, 1), (4, 1), (7, 1), (8, 2), (11, 2)])
    def test_a_smaller_last_batch_can_be_dropped(self, rng, n_windows, n_batches):
        loader = WindowLoader(self.windows(rng, n_windows), 4, drop_last=True)
        assert len(loader) == len(list(loader)) == n_batches
        sizes = [len(x) for x, _ in loader]
        assert set(sizes) == {min(4, n_windows)}
