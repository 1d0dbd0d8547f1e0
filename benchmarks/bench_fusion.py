"""What a member that is no better than chance costs a fusion, and each way to fuse.

Three good members, those of the recipe "statistics", and a fourth that knows nothing: the
Mahalanobis distance of four random numbers, or random numbers with a long tail. "plain log" is the
sum of log distances as they are, which `FusionDetector` standardises.

    python benchmarks/bench_fusion.py [--seeds 100 101 102 103]
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product

import numpy as np
import pandas as pd

from sklasd import LogMel, MahalanobisDetector, make_recipe
from sklasd.datasets import make_machine_clips
from sklasd.fusion._rules import FUSIONS, HeldOut
from sklasd.metrics import auc_score

KINDS = ("fan", "pump", "gearbox", "bearing", "slider", "valve")


def members(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distances out of fold and of test clips, of three good members, and labels."""
    waves, table = make_machine_clips(
        kind, n_train=60, n_test=40, n_anomalies=40, duration=4.0, random_state=seed
    )
    X = LogMel(n_fft=2048).transform(waves)
    is_train = (table["split"] == "train").to_numpy()
    detector = make_recipe("statistics")[-1].fit(X[is_train])
    new = -detector.score_table(X[~is_train]).iloc[:, :3].to_numpy()
    return detector.member_distances_, new, table["label"].to_numpy()[~is_train]


def chances(n_known: int, n_new: int, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return distances of members that know nothing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_known + n_new, 4))
    gaussian = MahalanobisDetector(calibration="auto").fit(rows[:n_known])
    tail = np.exp(rng.standard_t(2, size=n_known + n_new))
    return {
        "four random numbers": (
            -gaussian.calibration_scores_, -gaussian.score_samples(rows[n_known:])
        ),
        "long tail": (tail[:n_known], tail[n_known:]),
    }  # fmt: skip


def fused(fusion: str, new: np.ndarray, known: np.ndarray) -> np.ndarray:
    if fusion == "plain log":
        return np.log(new).mean(axis=1)
    return FUSIONS[fusion](new, HeldOut(known, np.full(known.shape[1], 1 / known.shape[1])))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[100, 101, 102, 103])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for kind, seed in product(KINDS, args.seeds):
        known, new, label = members(kind, seed)
        fourth = chances(len(known), len(new), seed)
        for fusion in ("plain log", *FUSIONS):
            row = {"fusion": fusion, "AUC": auc_score(label, -fused(fusion, new, known))}
            for name, (c, d) in fourth.items():
                score = -fused(fusion, np.column_stack([new, d]), np.column_stack([known, c]))
                row[f"with {name}"] = auc_score(label, score)
            rows.append(row)
    print(pd.DataFrame(rows).groupby("fusion", sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
