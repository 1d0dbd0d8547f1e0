"""What precision="bf16" does to the ranking of clips, beside what another seed does.

Spearman's correlation of the scores of 60 clips (half of them faulty) with those of single
precision and seed 0, for each score, and the time of a fit. Run:

    python benchmarks/bench_aegan_precision.py [--machine fan] [--epochs 20] [--seeds 1 2 3]
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import pandas as pd
import torch
from scipy.stats import spearmanr

from sklasd import AEGANDetector, LogMel
from sklasd.datasets import make_machine_clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", default="fan")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    waves, clips = make_machine_clips(
        args.machine, n_train=30, n_test=30, n_anomalies=30, duration=5.0, severity=2.0,
        random_state=1,
    )  # fmt: skip
    is_train = (clips["split"] == "train").to_numpy()
    X = LogMel(n_fft=2048, top_db=80).fit_transform(waves)

    def scores(**params: Any) -> tuple[pd.DataFrame, float]:
        detector = AEGANDetector(
            width=args.width,
            hop=4,
            scoring_hop=8,
            batch_size=64,
            max_epochs=args.epochs,
            calibration=None,
            **params,
        )
        start = time.perf_counter()
        detector.fit(X[is_train])
        return detector.score_table(X[~is_train]), time.perf_counter() - start

    reference, seconds = scores(random_state=0)
    half, half_seconds = scores(random_state=0, precision="bf16")
    others = [scores(random_state=seed)[0] for seed in args.seeds]

    def ranks(table: pd.DataFrame) -> pd.Series:
        names = [name for name in table if not name.endswith(("_max", "_min"))]
        return pd.Series({n: spearmanr(reference[n], table[n]).statistic for n in names})

    seeds = pd.DataFrame([ranks(table) for table in others])
    columns = {"bf16": ranks(half), "seeds: median": seeds.median(), "seeds: least": seeds.min()}
    print(pd.DataFrame(columns).round(3).to_string())
    print(f"fit in {half_seconds:.0f} s, {half_seconds / seconds:.2f} of single precision")


if __name__ == "__main__":
    main()
