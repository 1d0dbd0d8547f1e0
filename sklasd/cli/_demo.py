"""`sklasd demo`: the main job on made-up machines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from sklasd.cli._options import Force
from sklasd.cli._tables import as_text, write_csv
from sklasd.utils._output import replacing

_MARK = ".sklasd-demo"  # tells a folder of ours from somebody's own
_FILES = ("evaluation.csv", "overview.png", "machines.joblib", "report.html")


def run_demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")] = Path(
        "demo-report"
    ),
    force: Force = False,
) -> None:
    """Synthesise four machines, search, train, evaluate, and leave a report."""
    from sklasd.cli import _demo_steps as steps
    from sklasd.evaluation._tables import compare_detectors, summarize
    from sklasd.persistence import save_model
    from sklasd.plotting._overview import plot_overview
    from sklasd.report import write_report
    from sklasd.report._requirements import require_report

    require_report()  # a missing package is named before the work
    _make_room(output, force)
    print(f"Synthesising recordings of {', '.join(steps.MACHINES)} in {output / 'data'} ...")
    clips = steps.synthesise(output / "data")
    model, scored = steps.search(clips)
    for machine, search in model.estimators_.items():
        chosen = ", ".join(f"{k.split('__')[-1]}={v}" for k, v in search.best_params_.items())
        print(f"{machine}: of {len(search.cv_results_['params'])} variants: {chosen}")
    save_model(model, output / "machines.joblib", clips=clips[clips["split"] == "train"])
    table = compare_detectors({"statistics": scored})
    write_csv(table, output / "evaluation.csv")
    rows = {
        str(name): (search.best_estimator_, scored[scored["machine"] == name])
        for name, search in model.estimators_.items()
    }
    with replacing(output / "overview.png") as unfinished:
        plot_overview(rows).savefig(unfinished, dpi=100)
    made = {"Recordings": "made by sklasd.datasets.make_machine_clips(..., random_state=0)"}
    report = write_report(model, scored, output / "report.html", title="The demo", record=made)
    print(as_text(summarize(table), 3))
    print(steps.sum_up(table, model, scored))
    print(f"Left in {output}: {', '.join(_FILES[:-1])}, and")
    print(f"the report, to be opened in a browser: {report.absolute()}")


def _make_room(output: Path, force: bool) -> None:
    """Make the folder, and remove an earlier report; nothing but a report is ever removed."""
    mark = output / _MARK
    if mark.exists() and not force:
        raise FileExistsError(
            f"{output} holds an earlier report; pass --force to replace it, or another folder."
        )
    there = [output / name for name in ("data", *_FILES) if (output / name).exists()]
    # Without our mark, the user has made these files.
    if there and not mark.exists():
        raise FileExistsError(f"{there[0]} exists and is no report of ours; name another folder.")
    for path in there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    output.mkdir(parents=True, exist_ok=True)
    # Written first, so that --force can also replace a demo that was interrupted.
    mark.write_text("`sklasd demo --force` replaces what it left in this folder.\n")
