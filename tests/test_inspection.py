"""Where a clip departs from normal: axes, maps, thresholds, and what a map marks as sound."""

import numpy as np
import pytest

from sklasd import ClipStatistics, LogMel, STFTImage, TorchEmbedding
from sklasd.features import PANNsEmbedding

RATE = 16000


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
