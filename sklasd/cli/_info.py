"""`sklasd info`: contents of a folder of recordings, by names and headers."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sklasd.cli._options import GroundTruth, Json
from sklasd.cli._tables import as_json, as_text

if TYPE_CHECKING:
    import pandas as pd

_FEW = 0.05  # a smaller share of clips is unusual


def run_info(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="A folder of recordings, a manifest, or a model file."
        ),
    ],
    ground_truth: GroundTruth = None,
    json: Json = False,
) -> None:
    """Show what is recognised in a folder: machines, sections, domains, counts and formats.

    For a model file, show what it was made of.
    """
    from sklasd.datasets._any_folder import read_folder
    from sklasd.datasets._clip_manifest import MANIFEST_SUFFIXES
    from sklasd.datasets._files import audio_suffix

    if audio_suffix(path.name):
        raise ValueError(f"{path} is a recording; name its folder.")
    # Models may have any ending, manifests may not.
    if path.is_file() and path.suffix.lower() not in MANIFEST_SUFFIXES:
        # This import takes seconds, and a look at a folder does not need it.
        from sklasd.persistence import read_record

        typer.echo(jsonlib.dumps(read_record(path), indent=None if json else 2))
        return
    clips = read_folder(path, ground_truth or None)
    table, bad = _add_headers(clips)
    if len(table):  # there may be no readable clip
        counts = _count_clips(table)
        typer.echo(as_json(counts) if json else as_text(counts, 1))
    for line in _find_oddities(table):
        typer.echo(line, err=json)
    if bad:
        lines = [f"{len(bad)} of {len(clips)} clips cannot be read:", *bad]
        typer.echo("\n  ".join(lines), err=json)


def _add_headers(clips: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Add `duration`, `sample_rate` and `channels`; return a line for each unreadable clip, too."""
    from sklasd.datasets._files import read_headers

    headers, bad = read_headers(clips["path"])
    # A manifest may have columns of these names, too: the files' own headers count.
    others = clips.reset_index(drop=True).drop(columns=headers.columns, errors="ignore")
    return others.join(headers, how="inner"), list(bad.values())


def _count_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Count clips per year, machine, section, part and domain, and sum up their formats."""
    groups = [c for c in ("year", "machine", "section", "split", "domain") if c in table]
    # Without any label, all clips are unlabelled.
    label = table["label"] if "label" in table else table["path"].map(lambda path: None)
    table = table.assign(
        normal=label.eq(1).fillna(False).astype(int),
        anomalous=label.eq(-1).fillna(False).astype(int),
        unlabelled=label.isna().astype(int),
    )
    grouped = table.groupby(groups, sort=False, dropna=False)
    return grouped.agg(
        normal=("normal", "sum"),
        anomalous=("anomalous", "sum"),
        unlabelled=("unlabelled", "sum"),
        shortest=("duration", "min"),
        longest=("duration", "max"),
        sample_rate=("sample_rate", _distinct),
        channels=("channels", _distinct),
    ).reset_index()


def _find_oddities(table: pd.DataFrame) -> list[str]:
    """Describe clips unlike the rest of their machine, which will surprise a detector."""
    lines = []
    for machine, own in table.groupby("machine", sort=False):
        for column, unit in (("duration", "s"), ("sample_rate", "Hz"), ("channels", "channels")):
            # Durations that differ by samples are equal here.
            shares = own[column].round(2).value_counts(normalize=True)
            rare = own[own[column].round(2).isin(shares.index[shares < _FEW])]
            if len(rare):
                example = rare.iloc[0]
                lines.append(
                    f"{machine}: {len(rare)} of {len(own)} clips have an unusual {column}, such as "
                    f"{example[column]:g} {unit} ({example['path']}); most have "
                    f"{shares.index[0]:g} {unit}."
                )
    return lines


def _distinct(values: pd.Series) -> str:
    return ", ".join(f"{v:g}" for v in sorted(values.unique()))
