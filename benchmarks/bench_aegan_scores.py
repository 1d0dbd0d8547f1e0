"""Which of AEGANDetector's scores finds faults, and which of its maps shows where they are.

AUC of each score on six synthetic machines, and of each map over the pixels of faulty clips. The
default score was chosen by this table, before any real recording was scored. RMS is the AUC of a
volume meter. Each seed makes another machine of each kind, and another net. Run:

    python benchmarks/bench_aegan_scores.py [--seeds 0] [--width 8] [--hop 2] [--batch-size 64]
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import product

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from sklasd import AEGANDetector, LogMel
from sklasd.datasets import make_machine_clips

MACHINES = ("fan", "pump", "gearbox", "bearing", "slider", "valve")


def map_auc(maps: np.ndarray, clips: pd.DataFrame, front_end: LogMel) -> float:
    """Rank the pixels of faulty clips, and average over clips."""
    bands = front_end.mel_frequencies[:, None]
    seconds = np.arange(maps.shape[2]) * front_end.hop_length / front_end.sample_rate
    aucs = []
    for pixels, regions in zip(maps, clips["regions"], strict=True):
        inside = np.zeros(pixels.shape, dtype=bool)
        for first, last, low, high in regions:
            in_time = (seconds >= first) & (seconds <= last)
            inside |= (bands >= low) & (bands <= high) & in_time
        if 0 < inside.mean() < 1:
            aucs.append(roc_auc_score(inside.ravel(), pixels.ravel()))
    return float(np.mean(aucs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--hop", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--severity", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    front_end = LogMel(n_fft=2048, top_db=80)
    columns = {}
    for machine, seed in product(MACHINES, args.seeds):
        waves, clips = make_machine_clips(
            machine, n_train=args.clips, n_test=30, n_anomalies=30, duration=5.0,
            severity=args.severity, random_state=seed + 1,
        )  # fmt: skip
        is_train = (clips["split"] == "train").to_numpy()
        faulty = (clips["label"] == -1).to_numpy()
        label = clips["label"].to_numpy()[~is_train]
        X = front_end.fit_transform(waves)
        start = time.perf_counter()
        detector = AEGANDetector(
            width=args.width, hop=args.hop, scoring_hop=8, batch_size=args.batch_size,
            max_epochs=args.epochs, calibration=None, random_state=seed,
        ).fit(X[is_train])  # fmt: skip
        table = detector.score_table(X[~is_train])
        table["RMS"] = -np.sqrt(np.mean(np.square(waves[~is_train]), axis=1))
        column = pd.Series({name: roc_auc_score(label, table[name]) for name in table})
        for reference in ("input", "mean"):
            maps = detector.anomaly_map(X[faulty], reference=reference)
            column[f"map: {reference}"] = map_auc(maps, clips[faulty], front_end)
        columns[machine, seed] = column
        print(f"{machine} {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    table = pd.DataFrame(columns).T.groupby(level=0, sort=False).mean().T
    table.insert(0, "mean", table.mean(axis=1))
    print(table.sort_values("mean", ascending=False).round(3).to_string())


if __name__ == "__main__":
    main()
