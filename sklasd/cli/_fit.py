"""`sklasd fit`: train on recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sklasd.cli._options import DEFAULT_RECIPE, Device, Force, Recipe, Settings
from sklasd.utils._output import check_free

if TYPE_CHECKING:
    import pandas as pd


def run_fit(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings of machines running normally, as for score.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the trained model.")],
    recipe: Recipe = DEFAULT_RECIPE,
    settings: Settings = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the training.")] = 0,
    device: Device = None,
    pool: Annotated[
        bool, typer.Option("--pool", help="Train one model on all machines, not one on each.")
    ] = False,
    force: Force = False,
) -> None:
    """Train on recordings and save the model.

    If a folder has train/test or normal/anomalous parts, the normal training clips are used. If
    there are several machines, the file holds a model for each.
    """
    from sklasd.cli._pipelines import build_pipeline
    from sklasd.cli._recordings import read_recordings
    from sklasd.detectors import GroupedDetector
    from sklasd.evaluation._parts import training_clips
    from sklasd.evaluation._scoring import fit_pipeline
    from sklasd.persistence import save_model

    check_free(output, force=force)  # before hours of training, not after
    model: Any = build_pipeline(recipe, settings, seed, device)
    clips = read_recordings(recordings)
    if len(recordings) > 1 and "split" in clips:
        # A file that is named beside a folder has no part: it is meant for training, too.
        clips["split"] = clips["split"].fillna("train")
    clips = training_clips(clips)
    # A clip without a machine is an error only where others have several.
    machines = clips["machine"].dropna().unique().tolist() if "machine" in clips else []
    if len(machines) > 1 and not pool:
        _check_machines(clips)
        model = GroupedDetector(model)
    typer.echo(f"Training {recipe} on {len(clips)} clips{_describe(machines, pool)} ...")
    fit_pipeline(model, clips)
    save_model(model, output, clips=clips, force=force)
    typer.echo(f"Saved {output}.")


def _check_machines(clips: pd.DataFrame) -> None:
    """Refuse clips without a machine among those of several machines."""
    lost = clips.loc[clips["machine"].isna(), "path"]
    if len(lost):
        raise ValueError(
            f"Got {len(lost)} clips without a machine, such as {lost.iloc[0]}, among those of "
            "several machines; put them into a folder of their machine, or train one model on all "
            "by --pool."
        )


def _describe(machines: list[str], pool: bool) -> str:
    if len(machines) < 2:
        return ""
    named = f"{len(machines)} machines, {', '.join(machines)}"
    return f" of {named}, as one" if pool else f": a model for each of {named} (--pool makes one)"
