"""Plan clips of synthetic machines and record each with random numbers of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

import numpy as np

from sklasd.datasets.synthetic._machine_run import OperatingPoint, background_noise, draw_point
from sklasd.datasets.synthetic._machine_sounds import (
    Array,
    Region,
    Sounds,
    clip_regions,
    decibels,
)
from sklasd.datasets.synthetic._rotors import ROTORS, Rotor
from sklasd.datasets.synthetic._strokes import Slider, Valve

#: The faults that fit each machine, in order, and their level at severity 1: the root mean square
#: where a healthy machine has 1, for hisses and scrapes while they last. (For ``stuck_valve``
#: minus the logarithm of the share of strokes that still work.) Tuned so that a dense autoencoder
#: finds many but not all. A new machine goes to the end: seeds of clips depend on the order.
FAULTS: dict[str, dict[str, float]] = {
    "fan": {"bearing_defect": 0.11, "imbalance": 0.4, "rubbing": 0.32, "looseness": 0.3},
    "pump": {"bearing_defect": 0.15, "imbalance": 0.44, "leak": 0.25, "looseness": 0.33},
    "gearbox": {"bearing_defect": 0.11, "imbalance": 0.4, "missing_tooth": 0.08, "looseness": 0.33},
    "bearing": {"bearing_defect": 0.1, "imbalance": 0.43, "rubbing": 0.22, "looseness": 0.3},
    "slider": {"rubbing": 0.47, "looseness": 0.1},
    "valve": {"stuck_valve": 0.4, "leak": 0.09},
}

# A healthy machine is at about -32 dB of full scale: impacts and severe faults fit above it.
_LEVEL = 0.025
# Half the range in dB of the recordist's gain, which differs from clip to clip. It changes the
# loudness by more than a fault does, so that no detector can live on loudness.
_GAIN_RANGE = 3.0
# Purpose of each random stream of a clip; a new one goes to the end.
_POINT, _MACHINE, _BACKGROUND, _FAULT, _FAR_BACKGROUND = range(5)

Machine: TypeAlias = Rotor | Slider | Valve


def build_machine(kind: str, rng: np.random.Generator) -> Machine:
    """Draw an individual machine with its own speed, resonances and tooth count."""
    if kind in ROTORS:
        return Rotor(ROTORS[kind], rng)
    return Slider(rng) if kind == "slider" else Valve(rng)


@dataclass(frozen=True)
class Plan:
    """One clip before it is recorded."""

    section: int
    split: str
    domain: str
    label: int
    index: int  # among the clips of its section, split and label
    fault: str | None


def plan_clips(
    n_sections: int,
    counts: Mapping[tuple[str, int], int],
    faults: Sequence[str],
    target_share: float,
) -> list[Plan]:
    """Plan clips: `counts` of each split and label, in each section."""
    plans = []
    for section, ((split, label), n_clips) in product(range(n_sections), counts.items()):
        n_before: Counter[str] = Counter()
        for index in range(n_clips):
            domain = _domain(index, 0.0 if split == "supplemental" else target_share)
            # Cycling within a domain keeps faults and domains from going together.
            fault = faults[n_before[domain] % len(faults)] if label == -1 else None
            n_before[domain] += 1
            plans.append(Plan(section, split, domain, label, index, fault))
    return plans


def _domain(index: int, target_share: float) -> str:
    """Spread target clips evenly, so that the domain of a clip depends on its index alone."""
    # The small number keeps 100 * 0.29 from falling short of 29 by a rounding error.
    before, after = (int(i * target_share + 1e-9) for i in (index, index + 1))
    return "target" if after > before else "source"


@dataclass(frozen=True)
class Studio:
    """Where clips are recorded: all that they have in common."""

    kind: str
    severity: float
    n_samples: int
    sample_rate: int
    n_channels: int
    n_sections: int
    entropy: int

    def _rng(self, *key: int) -> np.random.Generator:
        key = (list(FAULTS).index(self.kind), *key)
        return np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=key))

    def _clip_rng(self, plan: Plan, purpose: int) -> np.random.Generator:
        """Return a random stream of the clip's own: no clip depends on the number of others."""
        split = ("train", "test", "supplemental").index(plan.split)
        return self._rng(plan.section, split, int(plan.label == -1), plan.index, purpose)

    @cached_property
    def machines(self) -> list[Machine]:
        """The individual machine of each section."""
        return [build_machine(self.kind, self._rng(section)) for section in range(self.n_sections)]

    def point(self, plan: Plan) -> OperatingPoint:
        """Return how the machine runs in a clip."""
        return draw_point(plan.domain, self._clip_rng(plan, _POINT))

    def attributes(self, plan: Plan) -> str:
        """Return the operating point in DCASE's form; speed is in turns or strokes per minute."""
        point = self.point(plan)
        if plan.split == "supplemental":
            return "noise"  # as load_dcase calls them
        speed = round(60.0 * self.machines[plan.section].speed * point.speed)
        return f"speed_{speed}_load_{point.load}_noise_{point.noise}"

    def record(self, plan: Plan) -> tuple[Array, list[Region]]:
        """Return a clip, of shape (n_channels, n_samples), and the boxes of its fault."""
        machine, regions = self._run(plan)
        rng = self._clip_rng(plan, _BACKGROUND)
        gain = _LEVEL * decibels(rng.uniform(-_GAIN_RANGE, _GAIN_RANGE))
        channels = [machine + self._background(plan, rng)]
        if self.n_channels == 2:
            # Two metres further away it is 6 ms later and 6 dB softer, but no less noisy.
            delay = round(0.006 * self.sample_rate)
            late = np.concatenate([np.zeros(delay), 0.5 * machine[:-delay]])
            far_rng = self._clip_rng(plan, _FAR_BACKGROUND)
            channels.append(late + self._background(plan, far_rng))
        clip = gain * np.stack(channels)
        # Only an extreme severity comes near full scale; the recordist then turns the clip down.
        return clip * min(1.0, 0.99 / np.abs(clip).max()), regions

    def _run(self, plan: Plan) -> tuple[Array, list[Region]]:
        """Return the machine alone, with its fault if any; supplemental clips have no machine."""
        if plan.split == "supplemental":
            return np.zeros(self.n_samples), []
        run = self.machines[plan.section].run(
            self.point(plan), self.n_samples, self.sample_rate, self._clip_rng(plan, _MACHINE)
        )
        if plan.fault is None or self.severity == 0:
            return run.sound, []
        level = self.severity * FAULTS[self.kind][plan.fault]
        fault = getattr(run, plan.fault)(level, self._clip_rng(plan, _FAULT))
        regions = clip_regions(fault.regions, run.duration, self.sample_rate / 2)
        return run.sound + fault.sound, regions

    def _background(self, plan: Plan, rng: np.random.Generator) -> Array:
        clip = Sounds(self.n_samples, self.sample_rate)
        return background_noise(self.point(plan).noise, clip, rng)
