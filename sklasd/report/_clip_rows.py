"""Clips of all machines in the order of the report."""

from __future__ import annotations

import os

import pandas as pd

from sklasd.report._clip_media import ClipMedia, make_media
from sklasd.report._columns import ClipRow
from sklasd.report._scored_fleet import ScoredMachine


def rank_clips(machines: list[ScoredMachine], n_shown: int) -> list[ClipRow]:
    """List the clips of all machines, the worst first; `n_shown` of them get media."""
    order = sorted(
        ((i, row) for i, machine in enumerate(machines) for row in range(len(machine.clips))),
        # Scores of two machines cannot be compared, distances can.
        key=lambda pair: -machines[pair[0]].clips["distance"].iloc[pair[1]],
    )
    media: dict[tuple[int, int], ClipMedia] = {}
    for i, machine in enumerate(machines):  # the clips of a machine at once, by its model
        own = [pair for pair in order[:n_shown] if pair[0] == i]
        drawn = make_media(machine.model, machine.clips.iloc[[row for _, row in own]])
        media.update(zip(own, drawn, strict=True))
    return [
        _make_row(rank, machines[i], row, media.get((i, row)))
        for rank, (i, row) in enumerate(order, start=1)
    ]


def _make_row(rank: int, machine: ScoredMachine, row: int, media: ClipMedia | None) -> ClipRow:
    clip = machine.clips.iloc[row]
    name, path = name_clip(clip)
    own_machine = clip.get("machine")
    shown = machine.name if pd.isna(own_machine) else str(own_machine)
    return ClipRow(rank, name, path, shown, clip, media)


def name_clip(clip: pd.Series) -> tuple[str, str]:
    """Return the name of a clip, and its path where it has one."""
    path = clip["path"]
    if isinstance(path, str | os.PathLike):
        # A table may have been written on Windows.
        return os.fspath(path).replace("\\", "/").rsplit("/", 1)[-1], os.fspath(path)
    return f"clip {clip.name}", ""
