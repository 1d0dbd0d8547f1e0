"""The demo: machines are synthesised, searched, trained, evaluated, and reported on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, PredefinedSplit, train_test_split
from sklearn.pipeline import Pipeline

from sklasd.datasets import load_dcase, make_machine_clips
from sklasd.evaluation._scoring import measure_levels, score_clips
from sklasd.evaluation._tables import LEVEL, shorten, tabulate
from sklasd.inspection import inspect_clips
from sklasd.persistence import save_model
from sklasd.plotting._overview import plot_overview
from sklasd.recipes import make_recipe
from sklasd.report import write_report
from sklasd.report._requirements import require_report
from sklasd.report._true_faults import brightness_inside
from sklasd.utils._output import replacing

_MACHINES = ("fan", "gearbox", "pump", "slider")
_SECONDS = 5.0
_MARK = ".sklasd-demo"  # tells a folder of ours from somebody's own
_GRID = {"fusiondetector__fusion": ["log", "fisher"]}
# Alarms are clips with a p-value of at most 0.1: a promise for few clips, too.
_SETTINGS = {"fusiondetector__threshold": "conformal"}


def run_demo(output: Path, *, force: bool = False) -> None:
    """Run the main job on made-up machines and leave a report.

    Parameters
    ----------
    output : Path
        Folder for the report (report.html), the recordings, the table (evaluation.csv), the models
        and overview.png.
    force : bool, default=False
        Replace an earlier report.

    Raises
    ------
    FileExistsError
        When there is a report and it is not to be replaced.
    """
    require_report()
    _make_room(output, force)
    print(f"Synthesising recordings of {', '.join(_MACHINES)} in {output / 'data'} ...")
    regions = pd.concat([_synthesise(machine, output / "data") for machine in _MACHINES])
    clips = load_dcase(output / "data").merge(regions, on="path")
    fitted = {
        machine: _search(clips[clips["machine"] == machine].reset_index(drop=True))
        for machine in _MACHINES
    }
    for machine, (pipeline, _) in fitted.items():
        learnt = clips[(clips["machine"] == machine) & (clips["split"] == "train")]
        save_model(pipeline, output / f"{machine}.joblib", clips=learnt)
    _leave(output, fitted)


def _leave(output: Path, fitted: dict[str, tuple[Pipeline, pd.DataFrame]]) -> None:
    """Write table, pictures and report of the fitted pipelines and their scored clips."""
    scored = pd.concat([clips for _, clips in fitted.values()])
    models = {machine: pipeline for machine, (pipeline, _) in fitted.items()}
    table = tabulate(scored, "statistics")
    with replacing(output / "evaluation.csv") as unfinished:
        table.to_csv(unfinished, index=False)
    with replacing(output / "overview.png") as unfinished:
        plot_overview(fitted).savefig(unfinished, dpi=100)
    made = {"Recordings": "made by sklasd.datasets.make_machine_clips(..., random_state=0)"}
    report = write_report(models, scored, output / "report.html", title="The demo", record=made)
    print(shorten(table).to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    print(_sum_up(table, fitted))
    print(f"Left in {output}: evaluation.csv, overview.png, {', '.join(_MACHINES)} (.joblib), and")
    print(f"the report, to be opened in a browser: {report.absolute()}")


def _sum_up(table: pd.DataFrame, fitted: dict[str, tuple[Pipeline, pd.DataFrame]]) -> str:
    """Say how well faults were told, and where they are."""
    official = table[table["row"] == "official"].set_index("detector")["auc"]
    level = official.pop(LEVEL)
    scored = pd.concat([clips for _, clips in fitted.values()])
    is_alarm = scored["decision"] == -1
    is_fault = scored["label"] == -1
    marks = np.concatenate([_mark_faults(*each) for each in fitted.values()])
    return (
        f"Mean AUC {official.item():.3f}, where a volume meter reaches {level:.3f}. Alarms: "
        f"{is_alarm[is_fault].mean():.0%} of the faults, and {is_alarm[~is_fault].mean():.0%} of "
        f"the normal clips ({(is_alarm & ~is_fault).sum()} of {(~is_fault).sum()}), where 10% are "
        "asked for. The maps of "
        f"{np.mean(marks >= 2):.0%} of the faults are at least twice as bright where the fault is."
    )


def _mark_faults(pipeline: Pipeline, clips: pd.DataFrame) -> list[float]:
    """Tell of each fault how much brighter its map is where the fault is."""
    faults = clips[clips["label"] == -1]
    return [
        brightness_inside(seen.anomaly_map, regions, seen.times, seen.frequencies)
        for seen, regions in zip(inspect_clips(pipeline, faults), faults["regions"], strict=True)
    ]


def _make_room(output: Path, force: bool) -> None:
    """Make the folder, and take away an earlier report; nothing but a report is ever removed."""
    mark = output / _MARK
    if mark.exists() and not force:
        raise FileExistsError(
            f"{output} holds an earlier report; pass --force to replace it, or another folder."
        )
    ours = [
        "data", "evaluation.csv", "overview.png", "report.html",
        *(f"{machine}.joblib" for machine in _MACHINES),
    ]  # fmt: skip
    there = [output / name for name in ours if (output / name).exists()]
    if there and not mark.exists():
        raise FileExistsError(f"{there[0]} exists and is no report of ours; name another folder.")
    for path in there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    output.mkdir(parents=True, exist_ok=True)
    mark.write_text("`sklasd demo --force` replaces what it left in this folder.\n")


def _synthesise(machine: str, root: Path) -> pd.DataFrame:
    """Write a machine's recordings, and return which fault each clip has, and where."""
    _, table = make_machine_clips(
        machine, n_train=60, n_test=40, n_anomalies=40, duration=_SECONDS, root=root, random_state=0
    )
    return table[["path", "fault", "regions"]]


def _search(clips: pd.DataFrame) -> tuple[Pipeline, pd.DataFrame]:
    """Choose the fusion on half of the labelled test clips; score the other half."""
    is_test = (clips["split"] == "test").to_numpy()
    kinds = clips["fault"].fillna("none")[is_test]
    to_choose, held_out = train_test_split(
        np.flatnonzero(is_test), test_size=0.5, stratify=kinds, random_state=0
    )
    known = clips.drop(index=held_out)
    search = GridSearchCV(
        make_recipe("statistics", **_SETTINGS),
        _GRID,
        scoring="roc_auc",
        cv=PredefinedSplit(np.where(known.index.isin(to_choose), 0, -1)),
    ).fit(known, known["label"].to_numpy())
    chosen = ", ".join(f"{k.split('__')[-1]}={v}" for k, v in search.best_params_.items())
    print(f"{clips['machine'].iloc[0]}: of {len(search.cv_results_['params'])} variants: {chosen}")
    best = search.best_estimator_
    scored = score_clips(best, clips.loc[held_out])
    return best, scored.assign(level=measure_levels(best[0], scored))
