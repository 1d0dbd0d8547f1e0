"""LogMel against librosa: in memory on one thread, and from WAV files with two workers.

What a 10 s clip costs at least, at 16 kHz with the default settings: 313 FFTs of 1024 points
(2.5 n log2 n operations each) and 128 mel bands from 513 bins. Run:

    python benchmarks/bench_log_mel.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch

from sklasd import LogMel

N_CLIPS = 100
SECONDS = 10


def reference(wave: np.ndarray) -> np.ndarray:
    mel = librosa.feature.melspectrogram(y=wave, sr=16000, n_fft=1024, hop_length=512, n_mels=128)
    return librosa.power_to_db(mel, top_db=None)


def per_clip(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time in ms."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times)) / N_CLIPS


def show(title: str, ours: float, theirs: float) -> None:
    print(f"{title}: sklasd {ours:.2f} ms, librosa {theirs:.2f} ms a clip, "
          f"ratio {theirs / ours:.2f}")  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    waves = np.random.default_rng(0).standard_normal((N_CLIPS, SECONDS * 16000)) / 10
    waves = waves.astype(np.float32)
    ours = per_clip(lambda: LogMel().transform(waves))
    theirs = per_clip(lambda: [reference(wave) for wave in waves])
    show("in memory, 1 thread", ours, theirs)
    operations = 313 * (2.5 * 1024 * np.log2(1024) + 2 * 513 * 128 / 8)
    print(f"  at least {operations / 1e6:.0f} M operations: {operations / ours / 1e6:.1f} GFLOP/s")

    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, f"{i}.wav")) for i in range(N_CLIPS)]
        for path, wave in zip(paths, waves, strict=True):
            soundfile.write(path, wave, 16000)
        theirs = per_clip(lambda: [reference(librosa.load(path, sr=None)[0]) for path in paths])
        for n_jobs in (1, 2):
            ours = per_clip(lambda n=n_jobs: LogMel(n_jobs=n).transform(paths))
            show(f"from WAV, {n_jobs} worker(s) against 1", ours, theirs)


if __name__ == "__main__":
    main()
