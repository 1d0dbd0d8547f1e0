"""`sklasd map`: an anomaly map as a picture, and as a sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sklasd.cli._options import Device, Force, Machine, Model
from sklasd.utils._output import check_free, replacing

_PICTURES = (".png", ".svg", ".pdf")
_SOUNDS = (".wav", ".flac", ".ogg", ".mp3")


def run_map(
    model: Model,
    recording: Annotated[Path, typer.Argument(help="One recording.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File of the picture: PNG, SVG or PDF.")
    ],
    sound: Annotated[
        Path | None,
        typer.Option("--sound", help="File for the marked sound alone: WAV or FLAC."),
    ] = None,
    machine: Machine = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Draw where in time and frequency a recording is anomalous."""
    import soundfile

    from sklasd.cli._pipelines import load_pipeline
    from sklasd.cli._recordings import assign_machines, read_recordings
    from sklasd.evaluation._scoring import add_scores
    from sklasd.inspection import inspect_clips
    from sklasd.inspection._call_detector import check_has_map
    from sklasd.plotting import plot_clip
    from sklasd.plotting._matplotlib import require_matplotlib

    # Checks come before the model is loaded, which may take a minute.
    require_matplotlib()
    check_free(output, sound, force=force)
    _check_ending("-o", output, _PICTURES)
    _check_ending("--sound", sound, _SOUNDS)
    fitted = load_pipeline(model, device)
    clips = assign_machines(fitted, read_recordings([recording]), machine)
    if len(clips) > 1:
        raise ValueError(f"Got {recording} with {len(clips)} clips; name one of them.")
    check_has_map(fitted)  # before the clip itself is read
    (clip,) = inspect_clips(fitted, clips)
    with replacing(output) as unfinished:
        plot_clip(clip).savefig(unfinished, dpi=100)
    if sound is not None:
        with replacing(sound) as unfinished:
            soundfile.write(unfinished, clip.resynthesise(), clip.sample_rate)
    # The score says how much the map means: a normal clip has a brightest spot, too.
    scored = add_scores(fitted, clips).iloc[0]
    word = {-1: "anomalous", 1: "normal"}.get(scored["decision"], "no decision")
    typer.echo(f"{word}: score {scored['score']:.4f}, threshold {scored['threshold']:.4f}")
    typer.echo(f"Saved {output}{f' and {sound}' if sound else ''}.")


def _check_ending(option: str, path: Path | None, endings: tuple[str, ...]) -> None:
    if path is not None and path.suffix.lower() not in endings:
        raise ValueError(f"Got {option} {path}; name a file ending in {', '.join(endings)}.")
