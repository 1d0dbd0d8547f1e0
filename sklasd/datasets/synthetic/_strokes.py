"""Synthetic machines that go to and fro: slider and valve, and their faults."""

from __future__ import annotations

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
    """A carriage going to and fro on a rail."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.speed = rng.uniform(1.0, 1.3)  # cycles per second
        self.motor = rng.uniform(30.0, 45.0)  # turns per second at full speed
        self.motor_orders = varied(overtones(40, 0.93), 4.0, rng)
        self.friction = rng.uniform(700.0, 1100.0), rng.uniform(4000.0, 6000.0)
        self.knock = rng.uniform(1200.0, 2000.0), 4e-3
        self.play = rng.uniform(2200.0, 3200.0), 5e-3

    def run(
        self, point: OperatingPoint, n_samples: int, sample_rate: int, rng: np.random.Generator
    ) -> Run:
        """Let it run for one clip."""
        return SliderRun(self, point, n_samples, sample_rate, rng)


class SliderRun(Run):
    """A clip of a slider."""

    def __init__(
        self,
        slider: Slider,
        point: OperatingPoint,
        n_samples: int,
        sample_rate: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(point, n_samples, sample_rate)
        self.slider = slider
        self.cycles = self.turning(slider.speed * point.speed, rng)
        self.reversals = self.times(self.cycles, 0.0, per_turn=2.0)
        motion = np.abs(np.clip(1.5 * np.sin(2 * np.pi * self.cycles), -1.0, 1.0))
        motor = np.cumsum(motion) * (slider.motor * point.speed / sample_rate)
        whine, friction, knocks = varied(np.array([0.7, 0.6, 0.5]), 1.0, rng)
        hits = varied(np.full(self.reversals.size, self.load), 2.0, rng)
        self.sound = (
            whine * motion * tone(motor, varied(slider.motor_orders, 1.0, rng), rng)
            + friction * motion * self.noise(slider.friction, rng, 0.7 + rng.normal(0.0, 0.1))
            + knocks * unit_rms(self.ringing(self.reversals, hits, slider.knock))
        )

    def rubbing(self, level: float, rng: np.random.Generator) -> Fault:
        """A damaged spot on the rail: a scrape each time the carriage passes, to and fro."""
        spot, low = rng.uniform(0.1, 0.4), rng.uniform(2000.0, 3500.0)
        passes = np.sort(
            np.concatenate([self.times(self.cycles, spot), self.times(self.cycles, 1 - spot)])
        )
        starts, stops = passes - 0.04, passes + 0.04
        scrape = self.noise((low, 1.6 * low), rng)
        sound = level * scrape * self.gate(starts, stops, ramp=0.02)
        return Fault(sound, self.boxes(starts, stops, skirts(low, 1.6 * low)))

    def looseness(self, level: float, rng: np.random.Generator) -> Fault:
        """Play in the carriage: it rattles after every reversal."""
        rattles = np.cumsum(rng.uniform(0.012, 0.03, (self.reversals.size, 4)), axis=1)
        times = (self.reversals[:, None] + rattles).ravel()
        strengths = varied(np.tile(0.7 ** np.arange(4.0), self.reversals.size), 2.0, rng)
        sound = level * unit_rms(self.ringing(times, strengths, self.slider.play))
        stops = self.reversals + rattles[:, -1]
        boxes = self.boxes(self.reversals + rattles[:, 0], stops, resonance_band(self.slider.play))
        return Fault(sound, boxes)


class Valve:
    """A solenoid valve that opens and closes in turn."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.speed = rng.uniform(2.2, 2.8)  # strokes per second
        self.dwell = rng.uniform(0.35, 0.5)  # share of a stroke that it is open
        self.click = rng.uniform(2000.0, 4000.0), rng.uniform(3e-3, 5e-3)
        self.puff = rng.uniform(600.0, 900.0), rng.uniform(4500.0, 6000.0)

    def run(
        self, point: OperatingPoint, n_samples: int, sample_rate: int, rng: np.random.Generator
    ) -> Run:
        """Let it run for one clip."""
        return ValveRun(self, point, n_samples, sample_rate, rng)


class ValveRun(Run):
    """A clip of a valve."""

    def __init__(
        self,
        valve: Valve,
        point: OperatingPoint,
        n_samples: int,
        sample_rate: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(point, n_samples, sample_rate)
        self.valve = valve
        self.stroke = 1.0 / (valve.speed * point.speed)
        strokes = self.turning(1.0 / self.stroke, rng)
        self.opens = self.times(strokes, 0.0)
        self.opens = self.opens + rng.normal(0.0, 0.02 * self.stroke, self.opens.size)
        dwell = valve.dwell * rng.uniform(0.85, 1.15, self.opens.size)
        self.closes = self.opens + self.stroke * dwell
        self.click_level, puff = varied(np.array([6.0, 1.2]), 1.0, rng)
        slope = 0.5 + rng.normal(0.0, 0.1)
        self.jet = puff * self.load * self.noise(valve.puff, rng, slope)
        self.sound = self._strokes(self.opens, self.closes)

    def _strokes(self, opens: Array, closes: Array) -> Array:
        """A click at each opening, a softer one at each closing, and flow in between."""
        times = np.concatenate([opens, closes])
        strengths = np.repeat([self.click_level, 0.6 * self.click_level], opens.size)
        clicks = self.ringing(times, strengths, self.valve.click)
        return clicks + self.jet * self.gate(opens, closes, ramp=0.01)

    def stuck_valve(self, level: float, rng: np.random.Generator) -> Fault:
        """The spool sticks: some strokes open late, some not at all.

        The sound is a difference: what is missing counts as much as what comes late. Thus the
        box of a missing stroke is where it ought to have been, and that of a late one reaches
        from where it ought to have opened to where it does.
        """
        # At least one whole stroke sticks, so that a clip said to be anomalous is.
        luck = np.where(self.closes < self.duration, rng.random(self.opens.size), np.inf)
        stuck = luck <= max(1.0 - np.exp(-level), luck.min())
        missing = stuck & (rng.random(self.opens.size) < 0.5)
        delays = np.where(stuck, rng.uniform(0.2, 0.6, stuck.size), 0.0)
        late = self.opens + delays * (self.closes - self.opens)
        faulty = self._strokes(late[~missing], self.closes[~missing])
        stops = np.where(missing, self.closes, late) + 3 * self.valve.click[1]
        band = skirts(*self.valve.puff)
        return Fault(faulty - self.sound, self.boxes(self.opens[stuck], stops[stuck], band))

    def leak(self, level: float, rng: np.random.Generator) -> Fault:
        """A worn seat: the valve hisses while it is shut."""
        low = rng.uniform(3500.0, 4500.0)
        starts = np.append(0.0, self.closes)
        stops = np.append(self.opens, self.duration)
        shut = stops > starts
        starts, stops = starts[shut], stops[shut]
        hiss = self.noise((low, 1.5 * low), rng)
        sound = level * hiss * self.gate(starts, stops, ramp=0.02)
        return Fault(sound, self.boxes(starts, stops, skirts(low, 1.5 * low)))
