"""How many false alarms a threshold makes on new normal clips, and what it costs to set it well.

For each machine a detector is trained on normal clips once, and calibrated in several ways: by the
training clips' own scores, by a held-out quarter, and by 3 to 10 folds. Of each way and each kind
of threshold the table shows the share of *new* normal clips that are alarms, where 10 % are asked
for: its mean, its worst and how often it is more than twice as much; the share of faults that is
found; the Kolmogorov-Smirnov distance of new normal clips' p-values from uniform ones; and how many
trainings it takes. The rule behind calibration="auto" was chosen by this table.

    python benchmarks/bench_calibration.py [--seeds 0 1 2 3] [--clips 60] [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.stats import kstest
from sklearn.model_selection import ShuffleSplit

from sklasd import KNNDetector, LogMel, MahalanobisDetector, OEAutoencoder
from sklasd.base._threshold import fit_offset
from sklasd.datasets import load_clips, make_machine_clips
from sklasd.evaluation._parts import held_out_clips, training_clips

MACHINES = ("fan", "pump", "gearbox", "bearing", "slider", "valve")
ASKED = 0.1
QUARTER = ShuffleSplit(1, test_size=0.25, random_state=0)
RULES = {"none": None, "held-out quarter": QUARTER, "3 folds": 3, "5 folds": 5, "10 folds": 10}
TRAININGS = {"none": 1, "held-out quarter": 2, "leave one out": 1}
THRESHOLDS = ("gamma", "quantile", "conformal")

# Training clips, test clips, test labels, and which recording each training clip is cut from
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]


def made_up(machine: str, seed: int, n_clips: int) -> Split:
    waves, table = make_machine_clips(
        machine, n_train=n_clips, n_test=100, n_anomalies=40, duration=4.0, random_state=seed
    )
    X = LogMel().fit_transform(waves)
    is_train = (table["split"] == "train").to_numpy()
    return X[is_train], X[~is_train], table.loc[~is_train, "label"].to_numpy(), None


def recorded(root: str, machine: str, by_recording: bool) -> Split:
    table = load_clips(f"{root}/manifest.csv")
    table = table[table["machine"] == machine]
    train, test = training_clips(table), held_out_clips(table)
    X = LogMel().fit_transform([*train["path"], *test["path"]])
    groups = train["recording"].to_numpy() if by_recording else None
    return X[: len(train)], X[len(train) :], test["label"].to_numpy(), groups


def measure(split: Split, n_epochs: int) -> Iterator[dict]:
    X, new, label, groups = split
    with tempfile.TemporaryDirectory() as cache:
        for score, (rule, calibration) in product(("reconstruction", "mahalanobis"), RULES.items()):
            detector = OEAutoencoder(
                anomaly_score=score, max_epochs=n_epochs, calibration=calibration, memory=cache,
                random_state=0, threshold="quantile", verbose=0,
            )  # fmt: skip
            yield from judge(detector.fit(X, groups=groups), new, label, score, rule)
    flat, new = X.mean(axis=2), new.mean(axis=2)  # mean spectra, as embeddings
    for name, detector in (("knn", KNNDetector()), ("gaussian", MahalanobisDetector())):
        for rule, calibration in {**RULES, "leave one out": "auto"}.items():
            detector.set_params(calibration=calibration, threshold="quantile")
            yield from judge(detector.fit(flat, groups=groups), new, label, name, rule)


def judge(detector, new, label, score, rule) -> Iterator[dict]:
    scores, known = detector.score_samples(new), detector.calibration_scores_
    p = (1 + np.sum(known[:, None] <= scores[label == 1], axis=0)) / (len(known) + 1)
    for threshold in THRESHOLDS:
        is_alarm = scores < fit_offset(known, threshold, ASKED)
        yield {
            "score": score, "rule": rule, "threshold": threshold,
            "false_alarms": is_alarm[label == 1].mean(), "found": is_alarm[label == -1].mean(),
            "ks": kstest(p, "uniform").statistic,
        }  # fmt: skip


def one(name: str, seed: int, root: str | None, n_clips: int, n_epochs: int) -> list[dict]:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if root is None:
        split = made_up(name, seed, n_clips)
    else:
        split = recorded(root, name.split()[0], by_recording="by recording" in name)
    return [row | {"machine": name} for row in measure(split, n_epochs)]


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    groups = rows.groupby(["score", "rule", "threshold"], sort=False)
    table = pd.DataFrame(
        {
            "mean": groups["false_alarms"].mean(),
            "worst": groups["false_alarms"].max(),
            "above twice": groups["false_alarms"].agg(lambda x: (x > 2 * ASKED).mean()),
            "found": groups["found"].mean(),
            "KS": groups["ks"].mean(),
        }
    ).reset_index()
    folds = table["rule"].str.extract(r"(\d+) folds", expand=False).astype(float) + 1
    trainings = table["rule"].map(TRAININGS).fillna(folds).astype(int)
    table.insert(3, "trainings", np.where(table["score"].isin(["knn", "gaussian"]), 1, trainings))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--data", default=None, help="real recordings: slider and fanstate")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    jobs = [(name, seed, None) for name, seed in product(MACHINES, args.seeds)]
    if args.data is not None:
        names = ("slider", "fanstate", "fanstate by recording")
        jobs = [(name, 0, args.data) for name in names]
    results = Parallel(args.jobs)(delayed(one)(*job, args.clips, args.epochs) for job in jobs)
    rows = pd.DataFrame([row for result in results for row in result])
    groups = rows.groupby("machine") if args.data is not None else [("all", rows)]
    for name, part in groups:
        print(f"{name}: {args.clips if name == 'all' else ''} {args.epochs} epochs, asked {ASKED}")
        print(summarise(part).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
