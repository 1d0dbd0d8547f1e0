"""Synthetic machines that go to and fro: slider and valve, and their faults."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklasd.datasets.synthetic._machine_run import (
    Fault,
    OperatingPoint,
    Run,
    overtones,
    skirts,
    varied,
)
from sklasd.datasets.synthetic._machine_sounds import Array, resonance_band, tone, unit_rms


class Slider:
    """A carriage that goes to and fro on a rail."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.speed = rng.uniform(1.0, 1.3)  # cycles per second
        self.motor = rng.uniform(30.0, 45.0)  # turns per second at full speed
        self.motor_orders = varied(overtones(40, 0.93), 4.0, rng)
        self.friction = rng.uniform(700.0, 1100.0), rng.uniform(4000.0, 6000.0)
        self.knock = rng.uniform(1200.0, 2000.0), 4e-3
        self.play = rng.uniform(2200.0, 3200.0), 5e-3

    def run(self, *how: Any) -> Run:
        """Let the machine run for one clip."""
        return SliderRun(self, *how)


class SliderRun(Run):
    """A clip of a slider."""

    def _start(self, point: OperatingPoint, rng: np.random.Generator) -> None:
        slider = self.machine
        self.cycles = self.shaft(slider.speed * point.speed, rng)
        self.reversals = self.passing_times(self.cycles, 0.0, per_turn=2.0)
        motion = np.abs(np.clip(1.5 * np.sin(2 * np.pi * self.cycles), -1.0, 1.0))
        # The motor turns only while the carriage moves.
        motor = np.cumsum(motion) * (slider.motor * point.speed / self.sample_rate)
        whine, friction, knocks = varied(np.array([0.7, 0.6, 0.5]), 1.0, rng)
        hits = varied(np.full(self.reversals.size, self.load), 2.0, rng)
        self.sound = (
            whine * motion * tone(motor, varied(slider.motor_orders, 1.0, rng), rng)
            + friction * motion * self.noise(slider.friction, rng, 0.7 + rng.normal(0.0, 0.1))
            + knocks * unit_rms(self.ringing(self.reversals, hits, slider.knock))
        )

    def rubbing(self, level: float, rng: np.random.Generator) -> Fault:
        """Damage a spot on the rail: a scrape each time the carriage passes, to and fro."""
        spot, low = rng.uniform(0.1, 0.4), rng.uniform(2000.0, 3500.0)
        ways = [self.passing_times(self.cycles, angle) for angle in (spot, 1 - spot)]
        passes = np.sort(np.concatenate(ways))
        starts, stops = passes - 0.04, passes + 0.04
        scrape = self.noise((low, 1.6 * low), rng)
        sound = level * scrape * self.gate(starts, stops, ramp=0.02)
        return Fault(sound, self.boxes(starts, stops, skirts(low, 1.6 * low)))

    def looseness(self, level: float, rng: np.random.Generator) -> Fault:
        """Loosen the carriage: it rattles after every reversal."""
        rattles = np.cumsum(rng.uniform(0.012, 0.03, (self.reversals.size, 4)), axis=1)
        times = (self.reversals[:, None] + rattles).ravel()
        strengths = varied(np.tile(0.7 ** np.arange(4.0), self.reversals.size), 2.0, rng)
        sound = level * unit_rms(self.ringing(times, strengths, self.machine.play))
        stops = self.reversals + rattles[:, -1]
        boxes = self.boxes(self.reversals + rattles[:, 0], stops, resonance_band(self.machine.play))
        return Fault(sound, boxes)


class Valve:
    """A solenoid valve that opens and closes in turn."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.speed = rng.uniform(2.2, 2.8)  # strokes per second
        self.dwell = rng.uniform(0.35, 0.5)  # share of a stroke that it is open
        self.click = rng.uniform(2000.0, 4000.0), rng.uniform(3e-3, 5e-3)
        self.puff = rng.uniform(600.0, 900.0), rng.uniform(4500.0, 6000.0)

    def run(self, *how: Any) -> Run:
        """Let the machine run for one clip."""
        return ValveRun(self, *how)


class ValveRun(Run):
    """A clip of a valve."""

    def _start(self, point: OperatingPoint, rng: np.random.Generator) -> None:
        valve = self.machine
        self.stroke = 1.0 / (valve.speed * point.speed)
        strokes = self.shaft(1.0 / self.stroke, rng)
        self.opens = self.passing_times(strokes, 0.0)
        self.opens = self.opens + rng.normal(0.0, 0.02 * self.stroke, self.opens.size)
        dwell = valve.dwell * rng.uniform(0.85, 1.15, self.opens.size)
        self.closes = self.opens + self.stroke * dwell
        self.click_level, puff = varied(np.array([6.0, 1.2]), 1.0, rng)
        slope = 0.5 + rng.normal(0.0, 0.1)
        self.jet = puff * self.load * self.noise(valve.puff, rng, slope)
        self.sound = self._strokes(self.opens, self.closes)

    def _strokes(self, opens: Array, closes: Array) -> Array:
        """Return a click at each opening, a softer one at each closing, and flow in between."""
        times = np.concatenate([opens, closes])
        strengths = np.repeat([self.click_level, 0.6 * self.click_level], opens.size)
        clicks = self.ringing(times, strengths, self.machine.click)
        return clicks + self.jet * self.gate(opens, closes, ramp=0.01)

    def stuck_valve(self, level: float, rng: np.random.Generator) -> Fault:
        """Stick the spool: some strokes open late, some not at all.

        The sound is a difference: a missing stroke counts as much as a late one. The box of a
        missing stroke is where it should have been. That of a late one reaches from where the
        stroke should have opened to where it does.
        """
        # At least one whole stroke sticks, so that every clip with this fault is anomalous.
        luck = np.where(self.closes < self.duration, rng.random(self.opens.size), np.inf)
        stuck = luck <= max(1.0 - np.exp(-level), luck.min())
        missing = stuck & (rng.random(self.opens.size) < 0.5)
        delays = np.where(stuck, rng.uniform(0.2, 0.6, stuck.size), 0.0)
        late = self.opens + delays * (self.closes - self.opens)
        faulty = self._strokes(late[~missing], self.closes[~missing])
        stops = np.where(missing, self.closes, late) + 3 * self.machine.click[1]
        band = skirts(*self.machine.puff)
        return Fault(faulty - self.sound, self.boxes(self.opens[stuck], stops[stuck], band))

    def leak(self, level: float, rng: np.random.Generator) -> Fault:
        """Wear the seat: the valve hisses while it is shut."""
        low = rng.uniform(3500.0, 4500.0)
        starts = np.append(0.0, self.closes)
        stops = np.append(self.opens, self.duration)
        shut = stops > starts
        starts, stops = starts[shut], stops[shut]
        hiss = self.noise((low, 1.5 * low), rng)
        sound = level * hiss * self.gate(starts, stops, ramp=0.02)
        return Fault(sound, self.boxes(starts, stops, skirts(low, 1.5 * low)))
