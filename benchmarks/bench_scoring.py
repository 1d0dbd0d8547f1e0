"""Scoring in batches of one size across clips, against clip by clip.

Both make scores that do not depend on the company of a clip. Clip by clip, a short clip costs what
calling torch costs, not what its windows do: 28 windows of a second are 8 million multiply-adds,
0.1 ms of one core. 10-second clips show that nothing is lost where there is nothing to gain.

    python benchmarks/bench_scoring.py [--threads 1]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from sklasd import KNNDetector, OEAutoencoder
from sklasd.base import NetDetector
from sklasd.training import cut_windows
from sklasd.training._modes import exact


class Compress(NetDetector):
    """An autoencoder of embeddings: what CL-VAE and its like cost, roughly."""

    _window_scores = ("reconstruction",)
    _takes_embeddings = True

    def __init__(self, anomaly_score="reconstruction", pooling="mean", threshold="quantile",
                 contamination=0.1, calibration=None, lr=1e-3, batch_size=64, max_epochs=1,
                 device="cpu", random_state=0, memory=None, verbose=0):  # fmt: skip
        for name, value in dict(locals()).items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def _window(self) -> tuple[int, int]:
        return 1, 1

    def _make_net(self, windows: Any, clips: Any) -> Any:
        size = {"module__in_features": clips.n_features, "module__out_features": clips.n_features}
        return self._window_net(nn.Linear, criterion=nn.MSELoss, **size)

    def _describe(self, x: torch.Tensor, scores: Any) -> dict[str, torch.Tensor]:
        return {"reconstruction": (self.net_.module_(x) - x).square().mean(dim=1)}


def clip_by_clip(detector: NetDetector, X: np.ndarray) -> np.ndarray:
    data = detector._prepare(X, reset=False)
    device = detector._ready()
    scores = []
    for clip in range(len(data)):
        windows = cut_windows(data, *detector._window(), index=[clip])
        with torch.inference_mode(), exact(device):
            values = [
                detector._describe(x, {detector.anomaly_score})[detector.anomaly_score]
                for x in windows.batches(1024)
            ]
        scores.append(-torch.cat(values).double().numpy().mean())
    return np.array(scores)


def row_by_row(detector: KNNDetector, X: np.ndarray) -> np.ndarray:
    return np.array([detector.score_samples(row[None])[0] for row in X])


def compare(name: str, slow: Callable, detector: Any, X: np.ndarray, n_clips: int) -> None:
    ratios = []
    for _ in range(5):
        start = time.perf_counter()
        expected = slow(detector, X)
        middle = time.perf_counter()
        scores = detector.score_samples(X)
        ratios.append((middle - start) / (time.perf_counter() - middle))
        rate = n_clips / (time.perf_counter() - middle)
    differing = np.max(np.abs(scores / expected - 1))
    print(f"{name}: {np.median(ratios):.1f} times as fast, {rate:.0f} clips/s, "
          f"scores differ by {differing:.0e}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    few = {"max_epochs": 1, "calibration": None, "random_state": 0, "verbose": 0}
    for frames, n_clips in ((10, 4000), (32, 2000), (313, 200)):
        X = rng.normal(-40, 8, (n_clips, 128, frames)).astype(np.float32)
        detector = OEAutoencoder(threshold="quantile", **few).fit(X[:60])
        name = f"OEAutoencoder, clips of {frames * 512 / 16000:.1f} s"
        compare(name, clip_by_clip, detector, X, n_clips)
    X = rng.normal(size=(4000, 512)).astype(np.float32)
    compare("a net on embeddings of 512", clip_by_clip, Compress().fit(X[:100]), X, 4000)
    knn = KNNDetector(threshold="quantile", contamination=0.2).fit(X[:1000])
    compare("KNNDetector, 1,000 embeddings of 512", row_by_row, knn, X[1000:2000], 1000)


if __name__ == "__main__":
    main()
