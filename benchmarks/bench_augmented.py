"""What altered copies do to a detector, and how far they are told from clips as recorded.

Six kinds of machines, 60 training clips each, by quantiles of each band. "AUC" is of new normal
clips against faults; "trace" of new normal clips against their own copies, by the detector that was
trained without copies: 0.5 where nothing is heard of the change.

    python benchmarks/bench_augmented.py [--seeds 102]
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product

import numpy as np
import pandas as pd

from sklasd import Augmented, LogMel, StatisticsDetector, make_pipeline
from sklasd.clips._waveforms import ClipFormat
from sklasd.datasets import make_machine_clips
from sklasd.features._altered_clips import Augmentation, alter_clips
from sklasd.metrics import auc_score

KINDS = ("fan", "pump", "gearbox", "bearing", "slider", "valve")
EFFECTS = {
    "defaults": {"pitch_shift": (-1.0, 1.0), "time_stretch": (0.9, 1.1)},
    "pitch_shift": {"pitch_shift": (-1.0, 1.0)},
    "pitch_shift by nothing": {"pitch_shift": (1e-6, 1e-6)},
    "time_stretch": {"time_stretch": (0.9, 1.1)},
    "gain": {"gain": (-3.0, 3.0)},
    "snr": {"snr": (20.0, 40.0)},
}
OFF = dict.fromkeys(("pitch_shift", "time_stretch", "gain", "snr"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[102])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    pipeline = make_pipeline(LogMel(n_fft=2048), StatisticsDetector(calibration=None))
    for kind, seed in product(KINDS, args.seeds):
        waves, table = make_machine_clips(
            kind, n_train=60, n_test=40, n_anomalies=40, duration=2.0, random_state=seed
        )
        train, label = (table["split"] == "train").to_numpy(), table["label"].to_numpy()
        new, normal = waves[~train], waves[~train & (label == 1)]
        plain = pipeline.fit(waves[train])
        known = plain.score_samples(normal)
        row = {"effect": "none", "AUC": auc_score(label[~train], plain.score_samples(new))}
        rows.append(row)
        for name, ranges in EFFECTS.items():
            copies = alter_clips(
                list(normal), ClipFormat(16000), [Augmentation(**ranges)], random_state=0
            )
            scores = np.concatenate([known, plain.score_samples([copy for (copy,) in copies])])
            augmented = Augmented(pipeline, **(OFF | ranges), random_state=0).fit(waves[train])
            rows.append({
                "effect": name,
                "AUC": auc_score(label[~train], augmented.score_samples(new)),
                "trace": auc_score(np.repeat([1, -1], len(known)), scores),
            })  # fmt: skip
    print(pd.DataFrame(rows).groupby("effect", sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
