"""Training and recalibration from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import typer

from sklasd.base._backend import ask, last_step
from sklasd.cli._pipelines import load_pipeline, make_pipeline
from sklasd.cli._recordings import assign_machines, read_recordings
from sklasd.detectors import GroupedDetector
from sklasd.detectors._grouped import deal_models
from sklasd.evaluation._protocol import fit_pipeline, training_clips
from sklasd.persistence import save_model
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
    clips = training_clips(read_recordings(recordings))
    machines = clips["machine"].dropna().unique().tolist() if "machine" in clips else []
    if len(machines) > 1 and not pool:
        model = GroupedDetector(model)
    typer.echo(f"Training {recipe} on {len(clips)} clips{_describe(machines, pool)} ...")
    fit_pipeline(model, clips)
    save_model(model, output, clips=clips, force=force)
    typer.echo(f"Saved {output}.")


def run_recalibrate(
    model: Path, recordings: list[Path], output: Path, *, machine: str | None, force: bool
) -> None:
    """Do what `sklasd recalibrate` says; its options are described there."""
    check_free(output, force=force)
    fitted = load_pipeline(model)
    clips = assign_machines(fitted, training_clips(read_recordings(recordings)), machine)
    before = _thresholds(fitted, clips)
    ask(fitted, "recalibrate", clips)
    save_model(fitted, output, clips=clips, force=force)
    after = _thresholds(fitted, clips)
    for (name, old, n_clips), (_, new, _) in zip(before, after, strict=True):
        of = f" of {name}" if name else ""
        typer.echo(f"Threshold{of} {new:.4f} by {n_clips} clips, where it was {old:.4f}.")
    typer.echo(f"Saved {output}.")


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
