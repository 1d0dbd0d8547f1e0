"""How well simulated outliers choose between detectors, where faults are known after all.

Six kinds of machines, some of each. The candidates are the statistics of `StatisticsDetector`; each
is scored by `simulated_outlier_scorer` on held-out normal clips, and by the AUC of new normal clips
against real faults. "pairs" is the share of pairs of candidates that both put in the same order.

    python benchmarks/bench_selection.py [--seeds 102 103]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from itertools import combinations, product

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV

from sklasd import LogMel, StatisticsDetector, make_pipeline
from sklasd.datasets import make_machine_clips
from sklasd.metrics import auc_score, simulated_outlier_scorer
from sklasd.model_selection import NormalOnlySplit

KINDS = ("fan", "pump", "gearbox", "bearing", "slider", "valve")
CANDIDATES = ["quantiles", "shape", "autocorrelation", "deviation", "mean"]
OUTLIERS = {"both": {}, "noise": {"impacts": None}, "impacts": {"noise": None}}


def scores(kind: str, seed: int, memory: str) -> pd.DataFrame:
    """Return the candidates' scores by simulated outliers and by faults."""
    waves, table = make_machine_clips(
        kind, n_train=60, n_test=40, n_anomalies=40, duration=2.0, random_state=seed
    )
    train = (table["split"] == "train").to_numpy()
    pipeline = make_pipeline(LogMel(n_fft=2048), StatisticsDetector(calibration=None))
    grid = {"statisticsdetector__statistics": CANDIDATES}
    result = pd.DataFrame(index=CANDIDATES)
    for name, params in OUTLIERS.items():
        search = GridSearchCV(
            pipeline, grid, cv=NormalOnlySplit(5, anomalies="none"), refit=False,
            scoring=simulated_outlier_scorer(**params, memory=memory), error_score="raise",
        ).fit(waves[train])  # fmt: skip
        result[name] = search.cv_results_["mean_test_score"]
    result["faults"] = [
        auc_score(
            table["label"][~train],
            pipeline.set_params(statisticsdetector__statistics=each)
            .fit(waves[train])
            .score_samples(waves[~train]),
        )
        for each in CANDIDATES
    ]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[102, 103])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for kind, seed in product(KINDS, args.seeds):
        with tempfile.TemporaryDirectory() as memory:
            table = scores(kind, seed, memory)
        print(kind, seed, table.round(3).to_string(), sep="\n", flush=True)
        real = table["faults"]
        for name in OUTLIERS:
            agree = [
                np.sign(table[name][a] - table[name][b]) == np.sign(real[a] - real[b])
                for a, b in combinations(CANDIDATES, 2)
            ]
            rows.append({
                "outliers": name, "chosen": real[table[name].idxmax()], "best": real.max(),
                "mean": real.mean(), "pairs": np.mean(agree),
                "level": table[name].mean(),
            })  # fmt: skip
    print(pd.DataFrame(rows).groupby("outliers", sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
