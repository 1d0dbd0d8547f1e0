"""What a folder of recordings holds, told from names and headers."""

from __future__ import annotations

import pandas as pd

from sklasd.datasets._files import read_headers

_FEW = 0.05  # a share of clips below this is odd


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
    return clips.reset_index(drop=True).join(headers, how="inner"), list(bad.values())


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
