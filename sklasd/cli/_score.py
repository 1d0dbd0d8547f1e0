"""Scores and decisions from the command line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import typer

from sklasd.cli._pipelines import load_pipeline
from sklasd.cli._recordings import assign_machines, read_recordings
from sklasd.cli._tables import as_json, as_text
from sklasd.clips import ClipError
from sklasd.evaluation._scoring import score_clips, score_usable
from sklasd.utils._output import check_free, replacing

_FIRST = ("path", "score", "p_value", "threshold", "decision", "reason", "machine")
_SHOWN = ("machine", "path", "score", "p_value", "decision")
_SKIPPED = 3  # exit status


def run_score(
    model: Path,
    recordings: list[Path],
    *,
    csv: Path | None,
    json: bool,
    machine: str | None,
    device: str | None,
    fail_on_anomaly: bool,
    skips: bool,
    force: bool,
) -> None:
    """Do what `sklasd score` says; its options are described there."""
    check_free(csv, force=force)
    fitted = load_pipeline(model, device)
    clips = assign_machines(fitted, read_recordings(recordings), machine)
    try:
        scored = (score_usable if skips else score_clips)(fitted, clips)
    except ClipError as error:
        hint = "" if skips else "\nWith --on-error skip the other clips are scored."
        raise ValueError(f"{error}{hint}") from error
    # The reason tells a skipped clip: a score may be no number, and is then anomalous.
    is_used = scored["reason"].isna() if skips else pd.Series(True, index=scored.index)
    is_anomalous = scored["decision"].eq(-1)
    # Of a model that does not decide there is no word.
    words = scored["decision"].map({-1: "anomalous", 1: "normal"})
    scored["decision"] = words.where(is_used, "skipped")
    scored = scored.sort_values("score", kind="stable")
    is_used = is_used[scored.index]
    first = [name for name in _FIRST if name in scored]
    scored = scored[first + [name for name in scored if name not in first]]
    if csv is not None:
        with replacing(csv) as unfinished:
            scored.to_csv(unfinished, index=False)
    used = scored[is_used]
    shown = [name for name in _SHOWN if name in used and used[name].notna().any()]
    typer.echo(as_json(scored) if json else as_text(used[shown], 4))
    typer.echo(_sum_up(used, int(is_anomalous.sum())), err=True)
    _tell_skipped(scored[~is_used], len(scored))
    if fail_on_anomaly and is_anomalous.any():
        raise typer.Exit(1)
    if not is_used.all():
        raise typer.Exit(_SKIPPED)


def _sum_up(used: pd.DataFrame, n_anomalous: int) -> str:
    first, *others = used["threshold"].unique()
    if used["decision"].isna().all():
        return f"{len(used)} clips are scored; the model has no threshold to decide by."
    below = "their machine's threshold" if others else f"{first:.4f}"
    return f"{n_anomalous} of {len(used)} clips are anomalous: they score below {below}."


def _tell_skipped(skipped: pd.DataFrame, n_clips: int) -> None:
    if len(skipped):
        typer.echo(f"{len(skipped)} of {n_clips} clips were skipped:", err=True)
        for path, reason in zip(skipped["path"], skipped["reason"], strict=True):
            typer.echo(f"  {path} {reason}", err=True)
