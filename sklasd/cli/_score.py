"""`sklasd score`: scores and decisions of recordings."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sklasd.cli._options import Device, Force, Json, Machine, Model, Recordings, Table
from sklasd.cli._tables import as_json, as_text, write_csv
from sklasd.utils._output import check_free

if TYPE_CHECKING:
    import pandas as pd

_SKIPPED = 3  # exit status


class OnError(StrEnum):
    """What to do about clips that cannot be used."""

    STOP = "stop"
    SKIP = "skip"


def run_score(
    model: Model,
    recordings: Recordings,
    csv: Table = None,
    json: Json = False,
    machine: Machine = None,
    device: Device = None,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with 1 if any clip is anomalous.")
    ] = False,
    on_error: Annotated[
        OnError, typer.Option("--on-error", help="What to do about clips that cannot be used.")
    ] = OnError.STOP,
    force: Force = False,
) -> None:
    """Score recordings, worst first: higher scores are more normal.

    The exit status is 3 if clips were skipped.
    """
    from sklasd.cli._pipelines import load_pipeline
    from sklasd.cli._recordings import assign_machines, read_recordings
    from sklasd.clips import ClipError
    from sklasd.evaluation._scoring import add_scores, score_usable

    check_free(csv, force=force)  # before any clip is scored
    fitted = load_pipeline(model, device)
    clips = assign_machines(fitted, read_recordings(recordings), machine)
    skips = on_error is OnError.SKIP
    try:
        scored = (score_usable if skips else add_scores)(fitted, clips)
    except ClipError as error:
        hint = "" if skips else "\nWith --on-error skip the other clips are scored."
        raise ValueError(f"{error}{hint}") from error
    scored = _lay_out(scored)
    write_csv(scored, csv)  # with skipped clips, which the screen lists apart
    # A skipped clip has no score; a NaN score, though, is an anomaly.
    is_used = scored["decision"] != "skipped"
    used = scored[is_used]
    typer.echo(as_json(scored) if json else as_text(_select_shown(used), 4))
    # Sentences go to stderr, so that stdout can be piped to another program.
    typer.echo(_sum_up(used), err=True)
    _list_skipped(scored[~is_used], len(scored))
    # An anomaly weighs more than a skipped clip, as scripts act on it.
    if fail_on_anomaly and used["decision"].eq("anomalous").any():
        raise typer.Exit(1)
    if not is_used.all():
        raise typer.Exit(_SKIPPED)


def _lay_out(scored: pd.DataFrame) -> pd.DataFrame:
    """Put the worst clips and the new columns first, and write decisions as words."""
    from sklasd.metrics._scored_clips import SCORED_COLUMNS

    # A model that does not decide leaves the decision empty.
    words = scored["decision"].map({-1: "anomalous", 1: "normal"}).astype(object)
    if "reason" in scored:
        words[scored["reason"].notna()] = "skipped"
    scored = scored.assign(decision=words).sort_values("score", kind="stable")
    first = [name for name in ("path", *SCORED_COLUMNS, "machine") if name in scored]
    return scored[first + [name for name in scored if name not in first]]


def _select_shown(used: pd.DataFrame) -> pd.DataFrame:
    # The threshold would repeat itself in every row: the summary names it.
    shown = ("machine", "path", "score", "p_value", "decision")
    return used[[name for name in shown if name in used and used[name].notna().any()]]


def _sum_up(used: pd.DataFrame) -> str:
    if used["decision"].isna().all():
        return f"{len(used)} clips are scored; the model has no threshold to decide by."
    first, *others = used["threshold"].unique()
    below = "their machine's threshold" if others else f"{first:.4f}"
    n_anomalous = used["decision"].eq("anomalous").sum()
    return f"{n_anomalous} of {len(used)} clips are anomalous: they score below {below}."


def _list_skipped(skipped: pd.DataFrame, n_clips: int) -> None:
    if len(skipped):
        typer.echo(f"{len(skipped)} of {n_clips} clips were skipped:", err=True)
        for path, reason in zip(skipped["path"], skipped["reason"], strict=True):
            typer.echo(f"  {path} {reason}", err=True)
