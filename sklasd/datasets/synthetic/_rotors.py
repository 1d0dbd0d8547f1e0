"""Synthetic machines around a shaft: fan, pump, gearbox, bearing rig, and their faults."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sklasd.datasets.synthetic._machine_run import (
    Fault,
    OperatingPoint,
    Run,
    overtones,
    skirts,
    varied,
)
from sklasd.datasets.synthetic._machine_sounds import (
    FREQUENCY_SLACK,
    Array,
    resonance_band,
    resonate,
    tone,
    unit_rms,
)


class _RotorDesign(NamedTuple):
    """Ranges from which an individual is drawn, and the mix of its parts (rms, 1 in all)."""

    speed: tuple[float, float]  # turns of the motor per second
    ratio: tuple[int, int]  # turns of the motor per turn of the wheel
    teeth: tuple[int, int]  # blades, vanes, slots or teeth of the pinion per turn of the motor
    flow_band: tuple[float, float]
    mix: tuple[float, float, float, float]  # shaft, teeth, flow, rolling


ROTORS = {
    "fan": _RotorDesign((40, 58), (1, 1), (5, 9), (150, 4500), (0.35, 0.45, 0.75, 0.30)),
    "pump": _RotorDesign((24, 30), (1, 1), (5, 7), (400, 6000), (0.40, 0.50, 0.60, 0.45)),
    "gearbox": _RotorDesign((24, 36), (5, 7), (13, 19), (200, 3000), (0.35, 0.75, 0.30, 0.45)),
    "bearing": _RotorDesign((20, 40), (1, 1), (12, 18), (200, 3000), (0.45, 0.25, 0.35, 0.75)),
}


class Rotor:
    """One fan, pump, gearbox or bearing rig: what stays the same from clip to clip."""

    def __init__(self, design: _RotorDesign, rng: np.random.Generator) -> None:
        self.design = design
        self.speed = rng.uniform(*design.speed)
        self.ratio = int(rng.integers(*design.ratio, endpoint=True))
        self.teeth = int(rng.integers(*design.teeth, endpoint=True))
        self.shaft_orders = varied(overtones(12, 0.75), 3.0, rng)
        self.mesh_orders = self._draw_mesh(rng)
        # Bearing: ball passes per turn n / 2 (1 - d / D), with n balls of diameter d.
        self.ball_passes = rng.integers(7, 12) / 2 * (1.0 - rng.uniform(0.18, 0.3))
        # Rolling shakes the housing gently; a hard impact rings in a higher mode of it.
        self.rolling = rng.uniform(1200.0, 2800.0), rng.uniform(0.5e-3, 1.0e-3)
        self.resonance = rng.uniform(3400.0, 6000.0), rng.uniform(0.8e-3, 1.6e-3)

    def _draw_mesh(self, rng: np.random.Generator) -> Array:
        """Return orders of the wheel: passing teeth, and sidebands since no shaft is quite true."""
        n_teeth, n_harmonics = self.teeth * self.ratio, 6
        orders = np.zeros(n_harmonics * n_teeth + 3 * self.ratio + 1)
        for harmonic in range(1, n_harmonics + 1):
            for side, amplitude in ((0, 1.0), (1, 0.3), (2, 0.1)):
                # The wheel turns once in so many orders: its error modulates the teeth.
                for order in (-side * self.ratio, side * self.ratio):
                    orders[harmonic * n_teeth + order] = amplitude / harmonic
        orders = varied(orders, 3.0, rng)
        return orders * np.sqrt(2.0 / np.sum(orders**2))

    def run(self, *how: Any) -> Run:
        """Let the machine run for one clip."""
        return RotorRun(self, *how)


class RotorRun(Run):
    """A clip of a rotating machine."""

    def _start(self, point: OperatingPoint, rng: np.random.Generator) -> None:
        rotor = self.machine
        self.turns = self.shaft(rotor.speed * point.speed, rng)
        self.speed = float(self.turns[-1] - self.turns[0]) / self.duration
        self.wheel = self.turns / rotor.ratio
        shaft, teeth, flow, rolling = varied(np.array(rotor.design.mix), 1.0, rng)
        self.mesh = self.load * teeth * tone(self.wheel, varied(rotor.mesh_orders, 1.0, rng), rng)
        self.sound = (
            shaft * tone(self.turns, varied(rotor.shaft_orders, 1.0, rng), rng)
            + self.mesh
            + flow * point.speed**2 * self._flow(rng)
            + rolling * self._rolling(rng)
        )

    def _flow(self, rng: np.random.Generator) -> Array:
        """Return turbulence that swells a little with every turn."""
        swell = 1.0 + 0.2 * tone(self.turns, np.array([0.0, 1.0]), rng)
        slope = 1.0 + rng.normal(0.0, 0.1)
        return swell * self.noise(self.machine.design.flow_band, rng, slope)

    def _rolling(self, rng: np.random.Generator) -> Array:
        """Return countless small impacts of balls on a healthy race, through the housing."""
        rough = rng.standard_normal(self.n_samples)
        return unit_rms(resonate(rough, self.machine.rolling, self.sample_rate))

    def bearing_defect(self, level: float, rng: np.random.Generator) -> Fault:
        """Pit the outer race: an impact whenever a ball passes, and the housing rings."""
        times = self.passing_times(self.turns, rng.random(), self.machine.ball_passes)
        # Balls slip, and the slips add up: the impacts are not strictly periodic.
        slips = np.cumsum(rng.normal(0.0, 0.01, times.size))
        times = times + slips / (self.machine.ball_passes * self.speed)
        strengths = varied(np.ones(times.size), 3.0, rng)
        sound = level * unit_rms(self.ringing(times, strengths, self.machine.resonance))
        return Fault(sound, [(0.0, self.duration, *resonance_band(self.machine.resonance))])

    def imbalance(self, level: float, rng: np.random.Generator) -> Fault:
        """Add a heavy spot: its centrifugal force adds to the tone at the turning frequency."""
        sound = level * tone(self.turns, np.array([0.0, np.sqrt(2.0)]), rng)
        return Fault(sound, [(0.0, self.duration, *_spread(self.speed, self.speed))])

    def looseness(self, level: float, rng: np.random.Generator) -> Fault:
        """Loosen a foot: it lifts every other turn, hence many orders and half orders."""
        halves = varied(overtones(24, 0.93), 2.0, rng)
        sound = level * unit_rms(tone(self.turns / 2, halves, rng))
        return Fault(sound, [(0.0, self.duration, *_spread(self.speed / 2, 12 * self.speed))])

    def rubbing(self, level: float, rng: np.random.Generator) -> Fault:
        """Rub the casing once per turn; contact comes and goes as the shaft bows."""
        low = rng.uniform(1200.0, 2500.0)
        contact = np.maximum(0.0, np.cos(2 * np.pi * (self.turns + rng.random()))) ** 4
        scrape = unit_rms(contact * self.noise((low, 1.8 * low), rng))
        start, stop = _episode(self.duration, (0.3, 0.6), rng)
        sound = level * scrape * self.gate(start, stop, ramp=0.05)
        return Fault(sound, self.boxes(start, stop, skirts(low, 1.8 * low)))

    def leak(self, level: float, rng: np.random.Generator) -> Fault:
        """Open a seal for a while: the jet hisses in a high band."""
        low = rng.uniform(3500.0, 4500.0)
        start, stop = _episode(self.duration, (0.3, 0.6), rng)
        hiss = self.noise((low, 1.5 * low), rng)
        sound = level * hiss * self.gate(start, stop, ramp=0.1)
        return Fault(sound, self.boxes(start, stop, skirts(low, 1.5 * low)))

    def missing_tooth(self, level: float, rng: np.random.Generator) -> Fault:
        """Break a tooth: once per turn of the wheel the mesh lets go, then the next tooth slams."""
        angle, n_teeth = rng.random(), self.machine.teeth * self.machine.ratio
        times = self.passing_times(self.wheel, angle)
        tooth = self.machine.ratio / self.speed / n_teeth
        # The mesh is taken away for a tooth, and never by more than all of it.
        gap = self.gate(times - tooth, times, ramp=0.3 * tooth)
        strengths = varied(np.full(times.size, self.load), 2.0, rng)
        slam = unit_rms(self.ringing(times, strengths, self.machine.resonance))
        sound = level * slam - min(1.0, 2.0 * level) * gap * self.mesh
        mesh = _spread(0.3 / tooth, 3.0 / tooth)
        stops = times + 3 * self.machine.resonance[1]
        regions = self.boxes(times - tooth, times, mesh)
        return Fault(
            sound, regions + self.boxes(times, stops, resonance_band(self.machine.resonance))
        )


def _spread(low: float, high: float) -> tuple[float, float]:
    """Return a band of orders whose speed drifts, with slack for the bins of a spectrogram."""
    return 0.99 * low - FREQUENCY_SLACK, 1.01 * high + FREQUENCY_SLACK


def _episode(
    duration: float, shares: tuple[float, float], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw one interval (start, stop in s) that takes a share of the clip."""
    length = duration * rng.uniform(*shares)
    start = rng.uniform(0.0, duration - length)
    return np.array([start]), np.array([start + length])
