"""`sklasd report`: scored recordings as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sklasd.cli._options import Device, Force, Machine
from sklasd.utils._output import check_free


def run_report(
    model: Annotated[
        Path, typer.Argument(help="From `sklasd fit`, or a folder of such, named by machine.")
    ],
    recordings: Annotated[
        list[Path], typer.Argument(help="As for score; those of a part train are left out.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file.")],
    machine: Machine = None,
    device: Device = None,
    n_shown: Annotated[
        int, typer.Option("--shown", min=0, help="Clips with pictures and sound, worst first.")
    ] = 30,
    title: Annotated[str | None, typer.Option("--title", help="Title of the report.")] = None,
    force: Force = False,
) -> None:
    """Score recordings and write a report to read, hear and pass on, as one HTML file."""
    from sklasd.cli._recordings import assign_machines, read_recordings
    from sklasd.report import write_report

    check_free(output, force=force)
    fitted = _load(model, device)
    clips = assign_machines(fitted, read_recordings(recordings), machine)
    write_report(
        fitted, clips, output, max_clips_with_media=n_shown, title=title,
        record=_describe_model(model), force=force,
    )  # fmt: skip
    typer.echo(f"Wrote {output}, {output.stat().st_size / 1e6:.1f} MB.")


def _load(path: Path, device: str | None) -> Any:
    """Load a model, or the models of a folder as one, each for the machine in its file's name."""
    from sklasd.cli._pipelines import load_pipeline
    from sklasd.detectors import GroupedDetector

    if not path.is_dir():
        return load_pipeline(path, device)
    models: dict[Any, Any] = {
        file.stem: load_pipeline(file, device) for file in sorted(path.glob("*.joblib"))
    }
    if not models:
        raise FileNotFoundError(f"There is no model in {path}; make one with `sklasd fit`.")
    # Only GroupedDetector knows how to split clips by machine.
    grouped = GroupedDetector(next(iter(models.values())))
    grouped.estimators_ = models  # as if it had been fitted
    return grouped


def _describe_model(path: Path) -> dict[str, str]:
    """Return from its record when a model was saved, by which versions, and its training clips."""
    from sklasd.persistence import find_record

    record = None if path.is_dir() else find_record(path)
    if record is None:
        return {}
    return {"Saved": record["saved"], "With": _join(record["versions"])} | {
        f"Trained on {own.pop('name', '')}".strip(): _join(own)
        for own in map(dict, record["groups"])
    }


def _join(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
