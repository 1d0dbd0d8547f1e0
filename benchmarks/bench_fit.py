"""The training loop against a bare one, the memory of a fit, and scoring against real time.

- The skorch loop is to cost at most a tenth more than a bare torch loop over the same batches.
- Fitting 1,000 clips of 10 s is to take at most 1.5 times their spectrograms, and 600 MB.
- Scoring from WAV files is to run at 1,000 times real time on one core or more: a window costs
  0.27 million multiply-adds, a clip of 10 s has 309 of them.

    python benchmarks/bench_fit.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from sklearn.pipeline import make_pipeline

from sklasd import LogMel, OEAutoencoder
from sklasd.clips._spectrograms import Spectrograms
from sklasd.losses import MeanSquaredError
from sklasd.nets._dense_autoencoder import DenseAutoencoder
from sklasd.training._loader import WindowLoader
from sklasd.training._window_net import window_net
from sklasd.training._windows import Windows, cut_windows

N_CLIPS, N_EPOCHS, BATCH = 60, 2, 512


def time_bare(windows: Windows) -> float:
    net = DenseAutoencoder()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    criterion = MeanSquaredError()
    start = time.perf_counter()
    for _ in range(N_EPOCHS):
        for x, _ in WindowLoader(windows, BATCH, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(net(x), x)
            loss.backward()
            optimizer.step()
            loss.item()
    return time.perf_counter() - start


def time_skorch(windows: Windows) -> float:
    net = window_net(
        DenseAutoencoder, criterion=MeanSquaredError, lr=1e-3, batch_size=BATCH,
        max_epochs=N_EPOCHS,
    )  # fmt: skip
    net.initialize()
    start = time.perf_counter()
    net.partial_fit(windows)
    return time.perf_counter() - start


def compare_loops() -> None:
    X = np.random.default_rng(0).normal(-40, 8, (N_CLIPS, 128, 313)).astype(np.float32)
    windows = cut_windows(Spectrograms.stack(X), 5, 1)
    time_bare(windows)
    pairs = [(time_skorch(windows), time_bare(windows)) for _ in range(7)]
    n_steps = N_EPOCHS * len(WindowLoader(windows, BATCH))
    skorch, bare = np.median(pairs, axis=0) / n_steps * 1e3
    ratio = np.median([a / b for a, b in pairs])
    print(f"a step: skorch {skorch:.2f} ms, bare torch {bare:.2f} ms, ratio {ratio:.3f}")


MEMORY = """
import resource, numpy as np
from sklasd import OEAutoencoder
rng = np.random.default_rng(0)
X = np.empty((1000, 313, 128), dtype=np.float32)
for clip in X:
    clip[:] = rng.normal(-40, 8, clip.shape)
OEAutoencoder(max_epochs=1, calibration=None, random_state=0).fit(X.transpose(0, 2, 1))
print(X.nbytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def measure_memory() -> None:
    out = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    spectrograms, peak = (int(x) / 1e6 for x in out.stdout.split())
    allowed = 1.5 * spectrograms + 600
    print(f"peak memory of a fit on 1,000 clips: {peak:.0f} MB for {spectrograms:.0f} MB of "
          f"spectrograms; allowed {allowed:.0f} MB, ratio {peak / allowed:.2f}")  # fmt: skip


def measure_scoring() -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, f"{i}.wav")) for i in range(100)]
        for path in paths:
            soundfile.write(path, 0.1 * rng.standard_normal(160000), 16000)
        pipeline = make_pipeline(
            LogMel(), OEAutoencoder(max_epochs=1, calibration=None, random_state=0)
        )
        pipeline.fit(paths[:20])
        times = []
        for _ in range(5):
            start = time.perf_counter()
            pipeline.score_samples(paths)
            times.append(time.perf_counter() - start)
    print(f"scoring from WAV: {1000 / np.median(times):.0f} times real time")


def main() -> None:
    torch.set_num_threads(1)
    compare_loops()
    measure_scoring()
    measure_memory()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"({used.ru_utime:.0f} s of processor time, 1 thread)")


if __name__ == "__main__":
    main()
