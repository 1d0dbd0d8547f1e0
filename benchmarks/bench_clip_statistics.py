"""Statistics of clips against a straightforward computation of the same by numpy, on one thread.

What it should cost: a sort of 40,000 numbers, five multiply-adds of each and a few sums, some
0.15 ms a clip of 10 s; the modulation spectrum adds 1,000 short FFTs.

    python benchmarks/bench_clip_statistics.py
"""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import threadpool_limits

from sklasd.features import ClipStatistics

ALL = (
    "quantiles", "mean", "deviation", "ranked_mean", "shape", "autocorrelation", "modulation",
)  # fmt: skip
DEFAULT = ("quantiles", "shape", "autocorrelation")


def plain(X: np.ndarray) -> np.ndarray:
    """Compute what the default recipe uses, all clips at once."""
    mean = X.mean(axis=2)
    z = X - mean[..., None]
    power = np.square(z).sum(axis=2)
    lags = [(z[..., lag:] * z[..., :-lag]).sum(axis=2) / power for lag in (1, 2, 4, 8, 16)]
    shape = mean - mean.mean(axis=1, keepdims=True)
    return np.concatenate([*np.quantile(X, (0.05, 0.5, 0.95), axis=2), shape, *lags], axis=1)


def clips_per_second(function, X: np.ndarray) -> float:
    function(X[:10])
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        function(X)
        best = min(best, time.perf_counter() - start)
    return len(X) / best


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(-40, 5, (300, 313, 128)).astype(np.float32).transpose(0, 2, 1)  # as of LogMel
    with threadpool_limits(1):
        for statistic in ALL:
            rate = clips_per_second(ClipStatistics(statistic).transform, X)
            print(f"{statistic:16} {rate:6.0f} clips of 10 s a second")
        every = clips_per_second(ClipStatistics(ALL).transform, X)
        ours, theirs = (clips_per_second(f, X) for f in (ClipStatistics(DEFAULT).transform, plain))
    print(f"all seven        {every:6.0f}")
    print(
        f"of the default   {ours:6.0f}, plain numpy {theirs:.0f}: {ours / theirs:.1f} times as fast"
    )


if __name__ == "__main__":
    main()
