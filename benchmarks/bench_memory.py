"""Score an hour of stereo audio, and tell the memory that it takes.

Peaks are the process's (its resident set): with a second of audio, by which torch, librosa and the
like are loaded, and with the hour.

    python benchmarks/bench_memory.py
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from sklasd import make_recipe

RATE = 44100


def write(path, n_seconds, rng):
    """Write stereo noise, a second at a time."""
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        for _ in range(n_seconds):
            file.write(0.05 * rng.normal(size=(RATE, 2)))


def peak():
    """Return the largest resident set so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main():
    """Print a line for a second, and one for an hour."""
    rng = np.random.default_rng(0)
    pipeline = make_recipe().fit(rng.normal(size=(20, 16000)))
    with tempfile.TemporaryDirectory() as folder:
        for name, n_seconds in (("second", 1), ("hour", 3600)):
            path = Path(folder, f"{name}.flac")
            write(path, n_seconds, rng)
            begin = time.perf_counter()
            pipeline.score_samples([path])
            seconds = time.perf_counter() - begin
            print(f"a {name}: {seconds:.1f} s, {peak():.0f} MB at most", flush=True)


if __name__ == "__main__":
    main()
