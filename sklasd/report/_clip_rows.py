"""Clips as a report lists them: in order, with their texts, and what they are sorted by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sklasd.report._clip_media import ClipMedia, make_media
from sklasd.report._scored_fleet import ScoredMachine

_OUTCOMES = {  # by truth and decision: what to call it, and whether it is right
    (-1, -1): ("fault found", "right"),
    (-1, 1): ("fault missed", "wrong"),
    (1, -1): ("false alarm", "wrong"),
    (1, 1): ("rightly normal", "right"),
}
_METER = 4  # the distance that fills a meter; the threshold is at a quarter of it


@dataclass(frozen=True)
class ClipRow:
    """A clip of the report; texts are as the page shows them."""

    rank: int
    name: str
    text: str  # what the filter of names looks into
    machine: str
    section: str
    domain: str
    decision: str
    outcome: str
    outcome_kind: str
    score: float
    threshold: float
    distance: float
    p_value: float
    more: list[tuple[str, str]]
    media: ClipMedia | None = None

    @property
    def score_text(self) -> str:
        return f"{self.score:.4g}"

    @property
    def threshold_text(self) -> str:
        return f"{self.threshold:.4g}"

    @property
    def distance_text(self) -> str:
        return f"{self.distance:.2f}".replace("inf", "∞")

    @property
    def p_text(self) -> str:
        return f"{self.p_value:.2g}" if np.isfinite(self.p_value) else ""

    def sorted_by(self, key: str) -> str:
        """Return a number as JavaScript reads it."""
        return str(getattr(self, key)).replace("inf", "Infinity").replace("nan", "NaN")

    @property
    def meter(self) -> int:
        return round(100 * min(max(self.distance / _METER, 0), 1))


@dataclass(frozen=True)
class Field:
    """Something that clips are filtered by, or a column of their table."""

    key: str
    name: str
    options: tuple[str, ...] = ()
    is_number: bool = False


def rank_clips(machines: list[ScoredMachine], n_shown: int) -> list[ClipRow]:
    """Put clips of all machines in order, the worst first, and draw some.

    Parameters
    ----------
    machines : list of ScoredMachine
        From `score_fleet`.
    n_shown : int
        How many are drawn and made heard.

    Returns
    -------
    list of ClipRow
        All clips; the first `n_shown` have media.
    """
    order = sorted(
        ((i, row) for i, machine in enumerate(machines) for row in range(len(machine.clips))),
        key=lambda pair: -machines[pair[0]].clips["distance"].iloc[pair[1]],
    )
    worst = order[:n_shown]
    media: dict[tuple[int, int], ClipMedia] = {}
    for i, machine in enumerate(machines):
        own = [pair for pair in worst if pair[0] == i]
        drawn = make_media(machine.model, machine.clips.iloc[[row for _, row in own]])
        media.update(zip(own, drawn, strict=True))
    return [
        _make_row(rank, machines[i], machines[i].clips.iloc[row], media.get((i, row)))
        for rank, (i, row) in enumerate(order, start=1)
    ]


def _make_row(
    rank: int, machine: ScoredMachine, clip: pd.Series, media: ClipMedia | None
) -> ClipRow:
    decision = int(clip["decision"])
    label = clip.get("label")
    outcome = _OUTCOMES.get((0 if pd.isna(label) else int(label), decision), ("", ""))
    name, path = _name_clip(clip)
    columns = {c: _text(clip.get(c)) for c in ("section", "domain", "fault", "attributes")}
    told = {"Section": columns["section"], "Domain": columns["domain"], "Fault": columns["fault"],
            "Attributes": columns["attributes"], "File": path}  # fmt: skip
    return ClipRow(
        rank, name, path or name,
        machine=_text(clip.get("machine")) or machine.name,
        section=columns["section"],
        domain=columns["domain"],
        decision="anomalous" if decision == -1 else "normal",
        outcome=outcome[0],
        outcome_kind=outcome[1],
        score=float(clip["score"]),
        threshold=float(machine.detector.offset_),
        distance=float(clip["distance"]),
        p_value=float(clip["p_value"]),
        more=[(key, value) for key, value in told.items() if value],
        media=media,
    )  # fmt: skip


def _name_clip(clip: pd.Series) -> tuple[str, str]:
    """Return the name of a clip, and its path where it has one."""
    path = clip["path"]
    if isinstance(path, str | os.PathLike):
        return os.fspath(path).replace("\\", "/").rsplit("/", 1)[-1], os.fspath(path)
    return f"clip {clip.name}", ""


def name_skipped(skipped: pd.DataFrame) -> list[tuple[str, str]]:
    return [(_name_clip(clip)[0], str(clip["reason"])) for _, clip in skipped.iterrows()]


def _text(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)


def list_fields(clips: list[ClipRow]) -> list[Field]:
    """Name what clips can be filtered by."""
    names = {"machine": "Machine", "section": "Section", "domain": "Domain",
             "decision": "Decision", "outcome": "Outcome"}  # fmt: skip
    return [
        Field(key, name, tuple(sorted({getattr(clip, key) for clip in clips} - {""})))
        for key, name in names.items()
    ]


def list_columns(clips: list[ClipRow], *, is_labelled: bool) -> list[Field]:
    """Name the columns of the table of clips."""
    columns = [Field("rank", "Rank", is_number=True), Field("name", "Clip")]
    columns += [field for field in list_fields(clips)[:3] if len(field.options) > 1]
    columns += [
        Field("score", "Score", is_number=True),
        Field("distance", "Distance", is_number=True),
        Field("p_value", "p-value", is_number=True),
        Field("decision", "Decision"),
    ]
    return [*columns, Field("outcome", "Outcome")] if is_labelled else columns
