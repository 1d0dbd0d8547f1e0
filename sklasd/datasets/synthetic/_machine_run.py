"""What all synthetic machines share: how they run for one clip, and the factory around them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sklasd.datasets.synthetic._machine_sounds import (
    TIME_SLACK,
    Array,
    Region,
    decibels,
    gate,
    noise,
    passing_times,
    ringing,
    tone,
    turning,
)


class Fault(NamedTuple):
    """What a fault adds to the healthy sound (or takes from it), and where.

    `sound` is faulty minus healthy, of shape (n_samples,); `regions` are boxes of
    (t_start, t_end, f_low, f_high) in s and Hz.
    """

    sound: Array
    regions: list[Region]


class OperatingPoint(NamedTuple):
    """How a machine runs in one clip: speed (share of the nominal one), load, background."""

    speed: float
    load: int
    noise: str


_POINTS = {"source": ((0.95, 1.0, 1.05), (1, 2), "A"), "target": ((0.85, 1.15), (2, 3), "B")}


def draw_point(domain: str, rng: np.random.Generator) -> OperatingPoint:
    """Draw an operating point of a domain ("source" or "target")."""
    speeds, loads, background = _POINTS[domain]
    return OperatingPoint(float(rng.choice(speeds)), int(rng.choice(loads)), background)


def background_noise(
    name: str, n_samples: int, sample_rate: int, rng: np.random.Generator
) -> Array:
    """Noise of the factory around the machine: "A" is air, "B" is darker, with a motor in it."""
    slope, level = (1.0, -9.0) if name == "A" else (1.5, -6.0)
    slope += rng.normal(0.0, 0.1)
    sound = noise((60.0, 7500.0), n_samples, sample_rate, rng, slope=slope)
    if name == "B":
        motor = turning(24.3, n_samples, sample_rate, rng)
        sound += 0.5 * tone(motor, overtones(20, 0.8), rng)
    return decibels(level + rng.normal(0.0, 1.0)) * sound


def overtones(n_orders: int, decay: float) -> Array:
    """Amplitudes of orders 0 to `n_orders`, falling by `decay` each, at unit root mean square."""
    amplitudes = decay ** np.arange(n_orders + 1.0)
    amplitudes[0] = 0.0
    return amplitudes * np.sqrt(2.0 / np.sum(amplitudes**2))


def varied(amplitudes: Array, spread: float, rng: np.random.Generator) -> Array:
    """Vary amplitudes independently by a standard deviation of `spread` dB."""
    return amplitudes * 10.0 ** (rng.normal(0.0, spread / 20.0, amplitudes.shape))


def skirts(low: float, high: float) -> tuple[float, float]:
    """Band that holds the flanks of a band of noise too."""
    return 0.9 * low, 1.1 * high


class Run:
    """A machine running healthily for one clip; each fault that fits is a method.

    A fault method takes the level and a generator and returns a :class:`Fault`. It draws from
    its own generator, so that the healthy sound is the same with and without the fault.
    """

    sound: Array

    def __init__(self, point: OperatingPoint, n_samples: int, sample_rate: int) -> None:
        self.n_samples = n_samples
        self.sample_rate = sample_rate
        self.duration = n_samples / sample_rate
        self.load = decibels(1.5 * (point.load - 1))

    def turning(self, speed: float, rng: np.random.Generator) -> Array:
        """Angle of a shaft at about `speed` turns per second: no two clips run equally fast."""
        return turning(
            speed * rng.normal(1.0, 0.01), self.n_samples, self.sample_rate, rng, drift=0.004
        )

    def noise(
        self, band: tuple[float, float], rng: np.random.Generator, slope: float = 0.0
    ) -> Array:
        """Noise of a band, as long as the clip."""
        return noise(band, self.n_samples, self.sample_rate, rng, slope=slope)

    def ringing(self, times: Array, strengths: Array, resonance: tuple[float, float]) -> Array:
        """Impacts through a resonance, as long as the clip."""
        return ringing(times, strengths, resonance, self.n_samples, self.sample_rate)

    def gate(self, starts: Array, stops: Array, ramp: float) -> Array:
        """Envelope over the clip, open in the given intervals."""
        return gate(starts, stops, self.n_samples, self.sample_rate, ramp=ramp)

    def times(self, turns: Array, angle: float, per_turn: float = 1.0) -> Array:
        """Times at which a shaft passes an angle (in turns), `per_turn` times a turn."""
        first, last = turns[0] * per_turn, turns[-1] * per_turn
        marks = np.arange(np.floor(first), np.ceil(last) + 1.0) + angle
        inside = (marks >= first) & (marks <= last)
        return passing_times(turns, marks[inside] / per_turn, self.sample_rate)

    def boxes(self, starts: Array, stops: Array, band: tuple[float, float]) -> list[Region]:
        """One box per interval, with slack for the window of a spectrogram."""
        return [
            (t0 - TIME_SLACK, t1 + TIME_SLACK, *band) for t0, t1 in zip(starts, stops, strict=True)
        ]
