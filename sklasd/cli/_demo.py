"""The demo: two machines are synthesised, searched, trained, evaluated and drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline

from sklasd.datasets import load_dcase, make_machine_clips
from sklasd.evaluation._protocol import measure_levels, score_clips, shorten, tabulate
from sklasd.plotting._matplotlib import require_matplotlib
from sklasd.plotting._overview import plot_overview
from sklasd.recipes import make_recipe
from sklasd.utils._output import replacing

_MACHINES = ("fan", "gearbox")
_SECONDS = 5.0
_MARK = ".sklasd-demo"  # tells a folder of ours from somebody's own
_GRID = {
    "fusiondetector__fusion": ["log", "fisher", "max"],
    "fusiondetector__quantiles__statistics": ["quantiles", "ranked_mean"],
}


def run_demo(output: Path, *, force: bool = False) -> None:
    """Run the main job on made-up machines and leave a report.

    Parameters
    ----------
    output : Path
        Folder for the recordings, the table (evaluation.csv), the models and overview.png.
    force : bool, default=False
        Replace an earlier report.

    Raises
    ------
    FileExistsError
        When there is a report and it is not to be replaced.
    """
    require_matplotlib()
    _make_room(output, force)
    print(f"Synthesising recordings of {' and '.join(_MACHINES)} in {output / 'data'} ...")
    regions = pd.concat([_synthesise(machine, output / "data") for machine in _MACHINES])
    clips = load_dcase(output / "data").merge(regions, on="path")
    fitted, scored = {}, []
    for machine in _MACHINES:
        pipeline, held_out = _search(clips[clips["machine"] == machine].reset_index(drop=True))
        fitted[machine] = (pipeline, held_out)
        scored.append(held_out)
        with replacing(output / f"{machine}.joblib") as unfinished:
            joblib.dump(pipeline, unfinished)
    table = tabulate(pd.concat(scored), "statistics")
    with replacing(output / "evaluation.csv") as unfinished:
        table.to_csv(unfinished, index=False)
    with replacing(output / "overview.png") as unfinished:
        plot_overview(fitted).savefig(unfinished, dpi=100)
    print(shorten(table).to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    print(f"Left in {output}: evaluation.csv, overview.png, {', '.join(_MACHINES)} (.joblib).")


def _make_room(output: Path, force: bool) -> None:
    """Make the folder, and take away an earlier report; nothing but a report is ever removed."""
    mark = output / _MARK
    if mark.exists() and not force:
        raise FileExistsError(
            f"{output} holds an earlier report; pass --force to replace it, or another folder."
        )
    ours = ["data", "evaluation.csv", "overview.png", *(f"{m}.joblib" for m in _MACHINES)]
    there = [output / name for name in ours if (output / name).exists()]
    if there and not mark.exists():
        raise FileExistsError(f"{there[0]} exists and is no report of ours; name another folder.")
    for path in there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    output.mkdir(parents=True, exist_ok=True)
    mark.write_text("`sklasd demo --force` replaces what it left in this folder.\n")


def _synthesise(machine: str, root: Path) -> pd.DataFrame:
    """Write a machine's recordings, and return where the fault of each clip is."""
    _, table = make_machine_clips(
        machine, n_train=60, n_test=40, n_anomalies=40, duration=_SECONDS, root=root, random_state=0
    )
    return table[["path", "regions"]]


def _search(clips: pd.DataFrame) -> tuple[Pipeline, pd.DataFrame]:
    """Choose the score on half of the labelled test clips; score the other half."""
    is_test = (clips["split"] == "test").to_numpy()
    half = np.zeros(len(clips), dtype=bool)
    half[np.flatnonzero(is_test)[::2]] = True
    known = clips[~is_test | half]
    search = GridSearchCV(
        make_recipe("statistics"),
        _GRID,
        scoring="roc_auc",
        cv=PredefinedSplit(np.where(half[~is_test | half], 0, -1)),
        refit=False,
    ).fit(known, known["label"].to_numpy())
    best = make_recipe("statistics", **search.best_params_)
    best.fit(known, known["label"].to_numpy())
    chosen = ", ".join(f"{k.split('__')[-1]}={v}" for k, v in search.best_params_.items())
    print(f"{clips['machine'].iloc[0]}: of {len(search.cv_results_['params'])} variants: {chosen}")
    scored = score_clips(best, clips[is_test & ~half])
    return best, scored.assign(level=measure_levels(best[0], scored))
