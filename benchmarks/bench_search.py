"""A grid search over ten variants of score, pooling and threshold, against a single variant.

With `memory`, the variants of a fold share one trained net: what each of them costs is the features
(1 ms a clip, less than reading them back from a cache would take) and a pass of scoring. AUC needs
no threshold: without a calibration there is one net per fold to train, with it there are eleven.

    python benchmarks/bench_search.py [--clips 60] [--epochs 100] [--calibration auto]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from itertools import product

import torch
from sklearn.model_selection import GridSearchCV

from sklasd import make_recipe
from sklasd.datasets import make_machine_clips
from sklasd.metrics import dcase_scorer
from sklasd.model_selection import NormalOnlySplit

PAIRS = product(("reconstruction", "mahalanobis", "mahalanobis_of_mean"), ("mean", "max", "min"))
VARIANTS = [
    {"oeautoencoder__anomaly_score": [score], "oeautoencoder__pooling": [pooling]}
    for score, pooling in PAIRS
] + [{"oeautoencoder__threshold": ["quantile"]}]


def search(
    table: object, waves: object, variants: list[dict], n_epochs: int, calibration: object
) -> float:
    with tempfile.TemporaryDirectory() as cache:
        pipeline = make_recipe(
            oeautoencoder__max_epochs=n_epochs, oeautoencoder__random_state=0,
            oeautoencoder__memory=cache, oeautoencoder__calibration=calibration,
        )  # fmt: skip
        start = time.perf_counter()
        GridSearchCV(
            pipeline, variants, scoring=dcase_scorer(2020), cv=NormalOnlySplit(3), refit=False
        ).fit(waves, table["label"].to_numpy())
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--calibration", choices=["auto"], default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    waves, table = make_machine_clips(
        "fan", n_train=args.clips, n_test=0, n_anomalies=args.clips // 3, random_state=0
    )
    one = search(table, waves, VARIANTS[:1], args.epochs, args.calibration)
    all_of_them = search(table, waves, VARIANTS, args.epochs, args.calibration)
    print(f"{args.clips} normal clips of 10 s, {args.epochs} epochs, 3 folds, 1 thread")
    print(f"1 variant {one:.1f} s, {len(VARIANTS)} variants {all_of_them:.1f} s, "
          f"ratio {all_of_them / one:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
