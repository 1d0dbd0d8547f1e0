"""How any synthetic machine runs for one clip, and the factory around it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sklasd.datasets.synthetic._machine_sounds import (
    TIME_SLACK,
    Array,
    Region,
    Sounds,
    decibels,
    tone,
)


class Fault(NamedTuple):
    """Difference that a fault makes, and where."""

    sound: Array  # (n_samples,), faulty minus healthy
    regions: list[Region]


class OperatingPoint(NamedTuple):
    """How a machine runs in one clip."""

    speed: float  # as a share of the nominal speed
    load: int
    noise: str  # background, "A" or "B"


_POINTS = {"source": ((0.95, 1.0, 1.05), (1, 2), "A"), "target": ((0.85, 1.15), (2, 3), "B")}


def draw_point(domain: str, rng: np.random.Generator) -> OperatingPoint:
    """Draw an operating point of a domain ("source" or "target")."""
    speeds, loads, background = _POINTS[domain]
    return OperatingPoint(float(rng.choice(speeds)), int(rng.choice(loads)), background)


def background_noise(name: str, clip: Sounds, rng: np.random.Generator) -> Array:
    """Return noise of the factory: "A" is air, "B" is darker, with a motor in it."""
    slope, level = (1.0, -9.0) if name == "A" else (1.5, -6.0)
    slope += rng.normal(0.0, 0.1)
    sound = clip.noise((60.0, 7500.0), rng, slope)
    if name == "B":
        sound += 0.5 * tone(clip.turning(24.3, rng), overtones(20, 0.8), rng)
    return decibels(level + rng.normal(0.0, 1.0)) * sound


def overtones(n_orders: int, decay: float) -> Array:
    """Return amplitudes of orders 0 to `n_orders` that fall by `decay` each, at unit rms."""
    amplitudes = decay ** np.arange(n_orders + 1.0)
    amplitudes[0] = 0.0
    return amplitudes * np.sqrt(2.0 / np.sum(amplitudes**2))


def varied(amplitudes: Array, spread: float, rng: np.random.Generator) -> Array:
    """Vary amplitudes independently by a standard deviation of `spread` dB."""
    return amplitudes * 10.0 ** (rng.normal(0.0, spread / 20.0, amplitudes.shape))


def skirts(low: float, high: float) -> tuple[float, float]:
    """Return a band of noise with its flanks."""
    return 0.9 * low, 1.1 * high


class Run(Sounds):
    """A machine that runs without a fault for one clip; each fault that fits is a method.

    A fault method takes the level and a generator and returns a :class:`Fault`. It draws from
    its own generator, so that the healthy sound is the same with and without the fault.
    """

    sound: Array

    def __init__(
        self,
        machine: Any,
        point: OperatingPoint,
        n_samples: int,
        sample_rate: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(n_samples, sample_rate)
        self.machine = machine
        self.load = decibels(1.5 * (point.load - 1))
        self._start(point, rng)

    def _start(self, point: OperatingPoint, rng: np.random.Generator) -> None:
        """Make the healthy sound; each machine has its own parts."""
        raise NotImplementedError

    def shaft(self, speed: float, rng: np.random.Generator) -> Array:
        """Return the angle of a shaft at about `speed` turns per second, no two clips the same."""
        return self.turning(speed * rng.normal(1.0, 0.01), rng)

    def boxes(self, starts: Array, stops: Array, band: tuple[float, float]) -> list[Region]:
        """Return a box for each interval, with slack for the window of a spectrogram."""
        return [
            (t0 - TIME_SLACK, t1 + TIME_SLACK, *band) for t0, t1 in zip(starts, stops, strict=True)
        ]
