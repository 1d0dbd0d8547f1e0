"""`sklasd recalibrate`: a new threshold for a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sklasd.cli._options import Device, Force, Machine, Model
from sklasd.utils._output import check_free

if TYPE_CHECKING:
    import pandas as pd


def run_recalibrate(
    model: Model,
    recordings: Annotated[
        list[Path], typer.Argument(help="New recordings of the machine running normally.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the new model.")],
    machine: Machine = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Set the threshold anew by new normal recordings, without training."""
    from sklasd.base._clip_table import take_new_normal
    from sklasd.cli._pipelines import load_pipeline
    from sklasd.cli._recordings import assign_machines, read_recordings
    from sklasd.inspection import recalibrate
    from sklasd.persistence import find_record, save_model

    check_free(output, force=force)
    fitted = load_pipeline(model, device)
    clips, _, _ = take_new_normal(read_recordings(recordings))
    clips = assign_machines(fitted, clips, machine)
    before = _thresholds(fitted, clips)  # recalibration changes the model itself
    recalibrate(fitted, clips)
    # The record keeps the training clips of the old model, beside the new clips.
    save_model(fitted, output, clips=clips, recalibrated=find_record(model), force=force)
    after = _thresholds(fitted, clips)
    for (name, old, n_clips), (_, new, _) in zip(before, after, strict=True):
        of = f" of {name}" if name else ""
        typer.echo(f"Threshold{of} {new:.4f} by {n_clips} clips, where it was {old:.4f}.")
    typer.echo(f"Saved {output}.")


def _thresholds(model: Any, clips: pd.DataFrame) -> list[tuple[str, float, int]]:
    """List each group's name ("" for a model of all clips), threshold and number of clips."""
    from sklasd.base._unwrap import detector_of, split_by_model

    return [
        (" ".join(map(str, name if isinstance(name, tuple) else (name,))),
         detector_of(each).offset_, len(rows))
        for name, each, rows in split_by_model(model, clips)
    ]  # fmt: skip
