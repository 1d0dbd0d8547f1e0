"""How many DCASE file names per second become rows of a clip table, on one core.

Run: python benchmarks/bench_load_dcase.py [n_clips]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from sklasd.datasets._dcase import load_dcase
from sklasd.datasets._dcase_names import parse_clip_name

TARGET = 50_000  # names per second
N_REPEATS = 5
MACHINES = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")


def make_names(n_clips: int) -> list[str]:
    """Name clips as in a development set of 2023, test clips being every sixth."""
    names = []
    for number in range(n_clips):
        split, label = ("test", "anomaly") if number % 6 == 0 else ("train", "normal")
        domain = "target" if number % 100 == 0 else "source"
        stem = f"section_00_{domain}_{split}_{label}_{number:04d}_car_A2_spd_28V_mic_1_noise_1"
        names.append(f"{MACHINES[number % len(MACHINES)]}/{split}/{stem}.wav")
    return names


def best_of(function, n_names: int) -> float:
    """Return names per second of the fastest run."""
    seconds = []
    for _ in range(N_REPEATS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return n_names / min(seconds)


def main(n_clips: int = 50_000) -> None:
    names = make_names(n_clips)
    stems = [Path(name).stem for name in names]
    parsed = best_of(lambda: [parse_clip_name(stem) for stem in stems], n_clips)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            clip = Path(folder, name)
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.touch()
        loaded = best_of(lambda: load_dcase(folder), n_clips)
    print(f"{n_clips} empty files, best of {N_REPEATS}; target {TARGET:,} names per second")
    print(f"  names parsed:                 {parsed:>10,.0f} per second")
    print(f"  load_dcase, folders included: {loaded:>10,.0f} per second")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
