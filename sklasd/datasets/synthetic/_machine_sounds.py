"""Sounds of machine parts: turning shafts, ringing structures and flow, from numpy and scipy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

Array = npt.NDArray[np.float64]

#: (t_start, t_end, f_low, f_high) in seconds and Hz.
Region = tuple[float, float, float, float]

# One turn of a shaft as a table. Read without interpolation, it errs by -41 dB in the 150th order.
_TABLE_SIZE = 2**15
_DRIFT = 0.004  # largest departure of a shaft from its speed, as a share of it
# Margin of a box around a fault, so that a usual window (1024 points at 16 kHz) fits in.
TIME_SLACK = 0.02
FREQUENCY_SLACK = 25.0


class Sounds:
    """Sounds that last as long as a clip.

    Parameters
    ----------
    n_samples : int
        Length of the clip in points.
    sample_rate : int
        Points per second.
    """

    def __init__(self, n_samples: int, sample_rate: int) -> None:
        self.n_samples = n_samples
        self.sample_rate = sample_rate
        self.duration = n_samples / sample_rate

    def turning(self, speed: float, rng: np.random.Generator) -> Array:
        """Return the angle, in turns, of a shaft whose speed wanders slowly by up to 0.4 %.

        `speed` is the mean, in turns per second.
        """
        coarse = np.arange(0.0, self.duration + 0.02, 0.01)
        periods, phases = rng.uniform(3.0, 15.0, 2), rng.uniform(0.0, 2 * np.pi, 2)
        wander = np.sin(2 * np.pi * coarse[:, None] / periods + phases).mean(axis=1)
        # The drift is far slower than 10 ms: integrating it coarsely saves a sine per point.
        steps = 0.01 * speed * (1.0 + _DRIFT * wander)
        turns = rng.random() + np.concatenate([[0.0], np.cumsum(steps)[:-1]])
        return np.interp(np.arange(self.n_samples) / self.sample_rate, coarse, turns)

    def passing_times(self, turns: Array, angle: float, per_turn: float = 1.0) -> Array:
        """Return when a shaft passes an angle (in turns), in s, `per_turn` times a turn."""
        first, last = turns[0] * per_turn, turns[-1] * per_turn
        marks = np.arange(np.floor(first), np.ceil(last) + 1.0) + angle
        inside = (marks >= first) & (marks <= last)
        return np.interp(marks[inside] / per_turn, turns, np.arange(turns.size)) / self.sample_rate

    def noise(
        self, band: tuple[float, float], rng: np.random.Generator, slope: float = 0.0
    ) -> Array:
        """Return Gaussian noise of a band in Hz, at unit root mean square on average.

        Beyond the band the power falls by 48 dB per octave. Its density goes as frequency to the
        minus `slope`: 0 is white, 1 pink, 2 brown.
        """
        n_fft = fft.next_fast_len(self.n_samples, real=True)
        frequencies = np.arange(n_fft // 2 + 1) * (self.sample_rate / n_fft)
        # A smooth envelope needs few points; powers of 80 000 frequencies would take longest.
        coarse = np.geomspace(5.0, self.sample_rate / 2, 400)
        power = (coarse / 1000.0) ** -slope
        power /= (1.0 + (band[0] / coarse) ** 16) * (1.0 + (coarse / band[1]) ** 16)
        envelope = np.interp(frequencies, coarse, np.sqrt(power), left=0.0)
        envelope /= np.sqrt(np.sum(envelope**2))
        points = rng.standard_normal((2, envelope.size), dtype=np.float32)
        # Single precision halves the time, and still errs far below 16 bits.
        spectrum = np.empty(envelope.size, dtype=np.complex64)
        spectrum.real, spectrum.imag = points * (envelope * (n_fft / 2)).astype(np.float32)
        return fft.irfft(spectrum, n_fft)[: self.n_samples].astype(np.float64)

    def ringing(self, times: Array, strengths: Array, resonance: tuple[float, float]) -> Array:
        """Return impacts of a peak amplitude each, through a structure that rings.

        `resonance` is a frequency in Hz, and the time in s after which the ringing has fallen to
        1/e. Impacts outside the clip are left out.
        """
        points = np.round(times * self.sample_rate).astype(np.intp)
        inside = (points >= 0) & (points < self.n_samples)
        impacts = np.bincount(points[inside], strengths[inside], self.n_samples)
        return resonate(impacts.astype(np.float64), resonance, self.sample_rate)

    def gate(
        self, starts: Sequence[float] | Array, stops: Sequence[float] | Array, ramp: float
    ) -> Array:
        """Return 1 in the given intervals (s), 0 outside, with linear ramps (s) inside."""
        knots: list[float] = []
        heights: list[float] = []
        for start, stop in zip(starts, stops, strict=True):
            rise = min(ramp, (stop - start) / 2)
            knots += [start, start + rise, stop - rise, stop]
            heights += [0.0, 1.0, 1.0, 0.0]
        if not knots:
            return np.zeros(self.n_samples)
        points = np.arange(self.n_samples) / self.sample_rate
        return np.interp(points, knots, heights, left=0.0, right=0.0)


def unit_rms(sound: Array) -> Array:
    """Scale a sound to a root mean square of 1; silence stays silent."""
    rms = np.sqrt(np.mean(sound**2))
    return sound / rms if rms > 0 else sound


def decibels(level: float) -> float:
    """Return the amplitude factor of a level in dB."""
    return float(10.0 ** (level / 20.0))


def tone(turns: Array, amplitudes: Array, rng: np.random.Generator) -> Array:
    """Return a sound that repeats with every turn of a shaft.

    `turns` is the shaft's angle in turns, `amplitudes` that of each order (multiple of the turning
    frequency) from 0 on. The phases are drawn. The mean square is half the sum of the squared
    amplitudes.
    """
    # Orders that turn by more than half a turn per point would fold back.
    amplitudes = amplitudes[: max(1, int(0.5 / np.diff(turns).max()))]
    spectrum = np.zeros(_TABLE_SIZE // 2 + 1, dtype=complex)
    phases = np.exp(2j * np.pi * rng.random(amplitudes.size))
    spectrum[: amplitudes.size] = amplitudes * phases * (_TABLE_SIZE / 2)
    table = fft.irfft(spectrum)
    # The size is a power of two: & takes the angle modulo a turn (turns are not negative).
    return table[(turns * _TABLE_SIZE).astype(np.int64) & (_TABLE_SIZE - 1)]


def resonate(excitation: Array, resonance: tuple[float, float], sample_rate: int) -> Array:
    """Pass an excitation through a mode of vibration: an exponentially decaying sine."""
    frequency, decay = resonance
    angle, radius = 2 * np.pi * frequency / sample_rate, np.exp(-1.0 / (decay * sample_rate))
    return signal.lfilter(
        [0.0, np.sin(angle)], [1.0, -2.0 * radius * np.cos(angle), radius**2], excitation
    )


def resonance_band(resonance: tuple[float, float]) -> tuple[float, float]:
    """Return the band in Hz with nine tenths of the energy of a ringing."""
    frequency, decay = resonance
    # A Lorentzian of half width 1 / (2 pi decay) has 0.895 of its area within 6 half widths.
    reach = 6.0 / (2 * np.pi * decay) + FREQUENCY_SLACK
    return frequency - reach, frequency + reach


def clip_regions(regions: Sequence[Region], duration: float, nyquist: float) -> list[Region]:
    """Cut boxes to the clip and to Nyquist, and drop boxes outside."""
    cut = [
        (max(0.0, t0), min(duration, t1), max(0.0, f0), min(nyquist, f1))
        for t0, t1, f0, f1 in regions
    ]
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in cut if a < b and c < d]
