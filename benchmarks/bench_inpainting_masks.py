"""How many balanced masks rank clips as the U-Net report's 256 random ones do.

A narrow U-Net learns a made-up fan. Normal and faulty clips are then scored with 256 random masks,
and with the first 4, 8, ... of balanced ones; what counts is the rank correlation of the scores
of the clips (Spearman), the least of several draws. Two draws of 256 random masks say what to
compare with. Clips of 3 s have 3 windows; longer ones average over more, and agree better. Run:

    OMP_NUM_THREADS=1 python benchmarks/bench_inpainting_masks.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from sklasd.clips._spectrograms import Spectrograms
from sklasd.datasets import make_machine_clips
from sklasd.detectors._unet_inpaint import UNetInpaintDetector
from sklasd.features import LogMel
from sklasd.simulation import balanced_patch_masks, patch_mask
from sklasd.training import cut_windows

COUNTS = (4, 8, 16, 32, 64, 128, 256)
N_DRAWS = 3  # of balanced masks
WINDOWS = 24  # scored together
GRID = {"patch_size": 8, "n_masked": 48}


def window_scores(detector: UNetInpaintDetector, x: torch.Tensor, masks: torch.Tensor) -> dict:
    """Return both scores after each of COUNTS masks, (n_counts, n_windows)."""
    hidden, n_hidden, squares = torch.zeros_like(x), torch.zeros(x.shape[1:]), torch.zeros(len(x))
    curves: dict[str, list] = {"masked": [], "mean_of_masks": []}
    inpaintings = detector.net_.module_.paint(x, masks, len(x))  # one mask at a time
    for count, (painted, mask) in enumerate(inpaintings, start=1):
        residual = (painted[0] - x) * mask[0]
        hidden, n_hidden = hidden + residual, n_hidden + mask[0, 0]
        squares += residual.square().sum(dim=(1, 2)) / mask.sum()
        if count in COUNTS:
            mean = hidden / n_hidden.clamp(min=1)
            curves["masked"].append(mean.square().sum(dim=(1, 2)) / (n_hidden > 0).sum())
            curves["mean_of_masks"].append(squares / count)
    return {name: torch.stack(curve) for name, curve in curves.items()}


@torch.inference_mode()
def clip_scores(detector: UNetInpaintDetector, X: np.ndarray, masks: torch.Tensor) -> dict:
    """Return both scores after each of COUNTS masks, (n_counts, n_clips)."""
    windows = cut_windows(Spectrograms.stack(X), 64, 64)
    parts = [window_scores(detector, x, masks) for x in windows.batches(WINDOWS)]
    return {
        name: torch.cat([part[name] for part in parts], dim=1).unflatten(1, (len(X), -1)).mean(2)
        for name in ("masked", "mean_of_masks")
    }


def draw(function: Callable[..., torch.Tensor], n_masks: int, seed: int) -> torch.Tensor:
    return function(n_masks, (64, 64), generator=torch.Generator().manual_seed(seed), **GRID)


def rank_correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(spearmanr(a.numpy(), b.numpy()).statistic)


def main() -> None:
    torch.set_num_threads(1)
    clips, table = make_machine_clips(
        "fan", n_train=40, n_test=20, n_anomalies=20, duration=3.0, random_state=0
    )
    X = LogMel(n_mels=64, n_fft=400, hop_length=256).fit_transform(clips)
    train, y = (table["split"] == "train").to_numpy(), table["label"].to_numpy()
    detector = UNetInpaintDetector(
        width=8, lr=1e-3, batch_size=16, max_epochs=15, n_masks=4, calibration=None, random_state=0
    )
    start = time.perf_counter()
    detector.fit(X[train])
    print(f"trained in {time.perf_counter() - start:.0f} s, loss {detector.loss_curve_[[0, -1]]}")
    test, label = X[~train], y[~train]

    start = time.perf_counter()
    reference = clip_scores(detector, test, draw(patch_mask, 256, 0))
    seconds = (time.perf_counter() - start) / len(test)
    print(f"256 random masks: {seconds:.2f} s a clip; {len(test)} clips, {N_DRAWS} balanced draws")
    random = clip_scores(detector, test, draw(patch_mask, 256, 1))
    balanced = [
        clip_scores(detector, test, draw(balanced_patch_masks, 128, 2 + i)) for i in range(N_DRAWS)
    ]
    for name in reference:
        truth = reference[name][-1]
        print(f"\n{name}: rank correlation with 256 random masks (AUC {auc(label, truth):.3f})")
        print(f"{'masks':>6} {'balanced':>9} {'random':>9} {'AUC':>6} {'speed-up':>9}")
        for row, count in enumerate(COUNTS):
            least = [rank_correlation(truth, b[name][row]) for b in balanced if row < len(b[name])]
            ours = f"{min(least):9.4f}" if least else f"{'':9}"
            theirs = rank_correlation(truth, random[name][row])
            found = auc(label, balanced[0][name][row]) if least else auc(label, random[name][row])
            print(f"{count:6} {ours} {theirs:9.4f} {found:6.3f} {256 / count:8.0f}x")


def auc(label: np.ndarray, score: torch.Tensor) -> float:
    return float(roc_auc_score(label, -score.numpy()))


if __name__ == "__main__":
    main()
