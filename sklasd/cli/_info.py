"""What a folder of recordings holds, told from names and headers."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from sklasd.cli._tables import as_json, as_text
from sklasd.datasets._any_folder import read_folder
from sklasd.datasets._clip_manifest import MANIFEST_SUFFIXES
from sklasd.datasets._files import audio_suffix, read_headers

_FEW = 0.05  # a share of clips below this is odd


def run_info(path: Path, ground_truth: Any, *, json: bool) -> None:
    """Do what `sklasd info` says; its options are described there."""
    if audio_suffix(path.name):
        raise ValueError(f"{path} is a recording; name the folder that it lies in.")
    if path.is_file() and path.suffix.lower() not in MANIFEST_SUFFIXES:
        from sklasd.persistence import read_record

        typer.echo(jsonlib.dumps(read_record(path), indent=None if json else 2))
        return
    clips = read_folder(path, ground_truth)
    table, bad = add_headers(clips)
    if len(table):
        counts = describe_clips(table)
        typer.echo(as_json(counts) if json else as_text(counts, 1))
    for line in find_oddities(table):
        typer.echo(line, err=json)
    if bad:
        lines = [f"{len(bad)} of {len(clips)} clips cannot be read:", *bad]
        typer.echo("\n  ".join(lines), err=json)


def add_headers(clips: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Add what the files' headers tell.

    Parameters
    ----------
    clips : DataFrame
        The clip table.

    Returns
    -------
    table : DataFrame
        The clips that can be read, with `duration`, `sample_rate` and `channels`.
    bad : list of str
        A line for each clip that cannot be read.
    """
    headers, bad = read_headers(clips["path"])
    # A manifest may tell of durations and channels, too; what counts is in the files.
    told = clips.reset_index(drop=True).drop(columns=headers.columns, errors="ignore")
    return told.join(headers, how="inner"), list(bad.values())


def describe_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Count clips per machine, section, part and domain, and sum up their formats.

    Parameters
    ----------
    table : DataFrame
        From `add_headers`.

    Returns
    -------
    DataFrame
        A row per group: numbers of normal, anomalous and unlabelled clips, shortest and longest
        duration in s, sample rates in Hz and numbers of channels.
    """
    groups = [c for c in ("year", "machine", "section", "split", "domain") if c in table]
    label = table["label"] if "label" in table else pd.Series(pd.NA, index=table.index)
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


def find_oddities(table: pd.DataFrame) -> list[str]:
    """Name what will surprise a detector: clips unlike the rest of their machine.

    Parameters
    ----------
    table : DataFrame
        From `add_headers`.

    Returns
    -------
    list of str
        A line for each kind of oddity, perhaps none.
    """
    lines = []
    for machine, own in table.groupby("machine", sort=False):
        for column, unit in (("duration", "s"), ("sample_rate", "Hz"), ("channels", "channels")):
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
