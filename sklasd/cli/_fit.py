"""Training and recalibration from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import typer

from sklasd.base._backend import last_step
from sklasd.cli._pipelines import load_pipeline, make_pipeline
from sklasd.cli._recordings import assign_machines, read_recordings
from sklasd.detectors import GroupedDetector
from sklasd.detectors._grouped import deal_models
from sklasd.evaluation._parts import new_normal_clips, training_clips
from sklasd.evaluation._scoring import fit_pipeline
from sklasd.inspection import recalibrate
from sklasd.persistence import find_record, save_model
from sklasd.utils._output import check_free


def run_fit(
    recordings: list[Path],
    output: Path,
    recipe: str,
    settings: list[str] | None,
    *,
    seed: int,
    device: str | None,
    pool: bool,
    force: bool,
) -> None:
    """Do what `sklasd fit` says; its options are described there."""
    check_free(output, force=force)
    model: Any = make_pipeline(recipe, settings, seed, device)
    clips = read_recordings(recordings)
    if len(recordings) > 1 and "split" in clips:
        clips["split"] = clips["split"].fillna("train")  # whoever names it wants it
    clips = training_clips(clips)
    machines = clips["machine"].dropna().unique().tolist() if "machine" in clips else []
    if len(machines) > 1 and not pool:
        _check_machines(clips)
        model = GroupedDetector(model)
    typer.echo(f"Training {recipe} on {len(clips)} clips{_describe(machines, pool)} ...")
    fit_pipeline(model, clips)
    save_model(model, output, clips=clips, force=force)
    typer.echo(f"Saved {output}.")


def run_recalibrate(
    model: Path,
    recordings: list[Path],
    output: Path,
    *,
    machine: str | None,
    device: str | None,
    force: bool,
) -> None:
    """Do what `sklasd recalibrate` says; its options are described there."""
    check_free(output, force=force)
    fitted = load_pipeline(model, device)
    clips = assign_machines(fitted, new_normal_clips(read_recordings(recordings)), machine)
    before = _thresholds(fitted, clips)
    recalibrate(fitted, clips)
    save_model(fitted, output, clips=clips, recalibrated=find_record(model), force=force)
    after = _thresholds(fitted, clips)
    for (name, old, n_clips), (_, new, _) in zip(before, after, strict=True):
        of = f" of {name}" if name else ""
        typer.echo(f"Threshold{of} {new:.4f} by {n_clips} clips, where it was {old:.4f}.")
    typer.echo(f"Saved {output}.")


def _check_machines(clips: pd.DataFrame) -> None:
    """Refuse clips of no machine among those of several."""
    lost = clips.loc[clips["machine"].isna(), "path"]
    if len(lost):
        raise ValueError(
            f"Got {len(lost)} clips of which the machine is not known, such as {lost.iloc[0]}, "
            "among those of several machines; put them into a folder of their machine, or train "
            "one model on all by --pool."
        )


def _describe(machines: list[str], pool: bool) -> str:
    if len(machines) < 2:
        return ""
    named = f"{len(machines)} machines, {', '.join(machines)}"
    return f" of {named}, as one" if pool else f": a model for each of {named} (--pool makes one)"


def _thresholds(model: Any, clips: pd.DataFrame) -> list[tuple[str, float, int]]:
    """List groups, of which one that holds all clips has no name; thresholds; numbers of clips."""
    return [
        (" ".join(map(str, name if isinstance(name, tuple) else (name,))),
         last_step(each).offset_, len(rows))
        for name, each, rows in deal_models(model, clips)
    ]  # fmt: skip
