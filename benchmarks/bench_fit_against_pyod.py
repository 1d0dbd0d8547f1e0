"""Fit of the autoencoder end to end, from waveforms to a threshold, against PyOD's AudioAE.

Same windows (128 mel bands x 5 frames), layers, epochs, batch size and step size. Six synthetic
machines; the AUC is that of held-out normal and faulty clips. Run:

    python benchmarks/bench_fit_against_pyod.py [--clips 30] [--epochs 20] [--threads 1]
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import torch
from pyod.models.audio_ae import AudioAE
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from sklasd import LogMel, OEAutoencoder
from sklasd.datasets import make_machine_clips

MACHINES = ("fan", "pump", "gearbox", "bearing", "slider", "valve")
SECONDS = 5.0


def make_data(machine: str, n_clips: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    waves, table = make_machine_clips(
        machine, n_train=n_clips, n_test=30, n_anomalies=30, duration=SECONDS, random_state=1
    )
    is_train = (table["split"] == "train").to_numpy()
    return waves[is_train], waves[~is_train], table["label"].to_numpy()[~is_train]


def fit_ours(train: np.ndarray, n_epochs: int) -> Any:
    detector = OEAutoencoder(
        max_epochs=n_epochs, batch_size=512, calibration=None, random_state=0, verbose=0
    )  # PyOD sets its threshold by the training clips' own scores, too
    return make_pipeline(LogMel(), detector).fit(train)


def fit_pyod(train: np.ndarray, n_epochs: int) -> Any:
    detector = AudioAE(
        n_mels=128, context=5, hop_length=512, sr=16000, epoch_num=n_epochs, batch_size=512,
        lr=1e-3, hidden_neuron_list=[128, 128, 128, 128, 8], device="cpu", random_state=0,
    )  # fmt: skip
    return detector.fit([(wave, 16000) for wave in train])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    for fit in (fit_ours, fit_pyod):  # imports and first calls
        fit(make_data("fan", 2)[0], 1)

    print(f"{args.clips} clips of {SECONDS:g} s, {args.epochs} epochs, {args.threads} thread(s)")
    seconds, aucs = [], []
    for machine in MACHINES:
        train, test, label = make_data(machine, args.clips)
        start = time.perf_counter()
        ours = fit_ours(train, args.epochs)
        middle = time.perf_counter()
        theirs = fit_pyod(train, args.epochs)
        seconds.append((middle - start, time.perf_counter() - middle))
        table = ours[-1].score_table(ours[:-1].transform(test))
        their_scores = -theirs.decision_function([(wave, 16000) for wave in test])
        columns = (table["reconstruction_mean"], table["mahalanobis_mean"], their_scores)
        aucs.append([roc_auc_score(label, column) for column in columns])
        ours_auc, ours_mahalanobis, their_auc = aucs[-1]
        print(
            f"{machine:8s} sklasd {seconds[-1][0]:5.2f} s, pyod {seconds[-1][1]:5.2f} s; "
            f"AUC {ours_auc:.3f} (mahalanobis {ours_mahalanobis:.3f}), pyod {their_auc:.3f}"
        )
    ratios = [theirs / ours for ours, theirs in seconds]
    print(f"ratio    {np.median(ratios):.2f} x as fast (median of {len(ratios)})")
    print("mean AUC {:.3f} (mahalanobis {:.3f}), pyod {:.3f}".format(*np.mean(aucs, axis=0)))


if __name__ == "__main__":
    main()
