"""A report from the command line: of one model, or of one for each machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from sklasd.cli._pipelines import load_pipeline
from sklasd.report import write_report
from sklasd.utils._output import check_free


def run_report(
    model: Path, folder: Path, output: Path, *, n_shown: int, title: str | None, force: bool
) -> None:
    """Do what `sklasd report` says; its options are described there."""
    check_free(output, force=force)
    write_report(
        _load(model), folder, output, max_clips_with_media=n_shown, title=title, force=force
    )
    typer.echo(f"Wrote {output}, {output.stat().st_size / 1e6:.1f} MB.")


def _load(model: Path) -> Any:
    """Load a model, or each of a folder by the machine that its file is named after."""
    if not model.is_dir():
        return load_pipeline(model)
    models = {path.stem: load_pipeline(path) for path in sorted(model.glob("*.joblib"))}
    if not models:
        raise FileNotFoundError(f"There is no model in {model}; make one with `sklasd fit`.")
    return models
