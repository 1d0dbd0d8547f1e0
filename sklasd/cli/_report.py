"""A report from the command line: of one model, or of one for each machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from sklasd.cli._pipelines import load_pipeline
from sklasd.cli._recordings import assign_machines, read_recordings
from sklasd.persistence import find_record
from sklasd.report import write_report
from sklasd.utils._output import check_free


def run_report(
    model: Path,
    recordings: list[Path],
    output: Path,
    *,
    machine: str | None,
    device: str | None,
    n_shown: int,
    title: str | None,
    force: bool,
) -> None:
    """Do what `sklasd report` says; its options are described there."""
    check_free(output, force=force)
    fitted = _load(model, device)
    clips = assign_machines(fitted, read_recordings(recordings), machine)
    write_report(
        fitted, clips, output, max_clips_with_media=n_shown, title=title, record=_tell(model),
        force=force,
    )  # fmt: skip
    typer.echo(f"Wrote {output}, {output.stat().st_size / 1e6:.1f} MB.")


def _tell(model: Path) -> dict[str, str]:
    """Tell from its record when a model was saved, and by what it was trained."""
    if model.is_dir() or (record := find_record(model)) is None:
        return {}
    told = {"Saved": record["saved"], "With": _join(record["versions"])}
    return told | {
        f"Trained on {own.pop('name', '')}".strip(): _join(own) for own in record["groups"]
    }


def _join(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _load(model: Path, device: str | None) -> Any:
    """Load a model, or each of a folder by the machine that its file is named after."""
    if not model.is_dir():
        return load_pipeline(model, device)
    models = {path.stem: load_pipeline(path, device) for path in sorted(model.glob("*.joblib"))}
    if not models:
        raise FileNotFoundError(f"There is no model in {model}; make one with `sklasd fit`.")
    return models
