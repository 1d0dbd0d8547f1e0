"""Steps of the demo: machines are synthesised, their detectors searched, trained and judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, train_test_split

from sklasd.datasets import load_dcase, make_machine_clips
from sklasd.detectors import GroupedDetector
from sklasd.evaluation._scoring import add_scores, measure_levels
from sklasd.evaluation._tables import LEVEL
from sklasd.inspection import inspect_clips
from sklasd.model_selection import DCASESplit
from sklasd.recipes import make_recipe
from sklasd.report._true_faults import brightness_inside

MACHINES = ("fan", "gearbox", "pump", "slider")
_SECONDS = 5.0
_GRID = {"fusiondetector__fusion": ["log", "fisher"]}
# Alarms are clips with a p-value of at most 0.1: this holds for few clips, too.
_SETTINGS = {"fusiondetector__threshold": "conformal"}


def synthesise(root: Path) -> pd.DataFrame:
    """Write recordings of each machine; return their clip table, with true faults and regions."""
    faults = []
    for machine in MACHINES:
        _, table = make_machine_clips(
            machine, n_train=60, n_test=40, n_anomalies=40, duration=_SECONDS, root=root,
            random_state=0,
        )  # fmt: skip
        faults.append(table[["path", "fault", "regions"]])
    return load_dcase(root).merge(pd.concat(faults), on="path")


def search(clips: pd.DataFrame) -> tuple[GroupedDetector, pd.DataFrame]:
    """Choose each machine's fusion on half of its labelled test clips; score the other half."""
    is_test = (clips["split"] == "test").to_numpy()
    # Each machine's kinds of fault are halved, so that both halves have some of each.
    kinds = (clips["machine"] + " " + clips["fault"].fillna("none"))[is_test]
    _, held_out = train_test_split(
        np.flatnonzero(is_test), test_size=0.5, stratify=kinds, random_state=0
    )
    to_choose = clips.drop(index=held_out)
    pipeline = make_recipe("statistics", **_SETTINGS)
    # Candidates train on the part "train" and are compared on the chosen half of "test".
    model = GroupedDetector(GridSearchCV(pipeline, _GRID, scoring="roc_auc", cv=DCASESplit()))
    model.fit(to_choose, to_choose["label"].to_numpy())
    scored = add_scores(model, clips.loc[np.sort(held_out)])
    # The pipeline itself is unfitted: only its front end is asked how to read clips.
    return model, scored.assign(level=measure_levels(pipeline, scored))


def sum_up(table: pd.DataFrame, model: GroupedDetector, scored: pd.DataFrame) -> str:
    """Sum up how many faults were found, how many alarms were false, and what the maps mark."""
    official = table[table["row"] == "official"].set_index("detector")["auc"]
    level = official.pop(LEVEL)
    is_alarm = scored["decision"] == -1
    is_fault = scored["label"] == -1
    faults = scored[is_fault]
    ratios = [
        brightness_inside(clip.anomaly_map, regions, clip.times, clip.frequencies)
        for clip, regions in zip(inspect_clips(model, faults), faults["regions"], strict=True)
    ]
    return (
        f"Mean AUC {official.item():.3f}, where a volume meter reaches {level:.3f}. Alarms: "
        f"{is_alarm[is_fault].mean():.0%} of the faults, and {is_alarm[~is_fault].mean():.0%} of "
        f"the normal clips ({(is_alarm & ~is_fault).sum()} of {(~is_fault).sum()}), where 10% are "
        "asked for. The maps of "
        f"{np.mean(np.array(ratios) >= 2):.0%} of the faults are at least twice as bright where "
        "the fault is."
    )
