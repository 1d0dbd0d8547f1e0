"""Which clips of a table to train on, to recalibrate by, and to test."""

from __future__ import annotations

import numpy as np
import pandas as pd


def training_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Pick the clips to learn from: normal ones for training, or all where nothing is known.

    Parameters
    ----------
    table : DataFrame
        The clip table.

    Returns
    -------
    DataFrame
        Some of its rows.

    Raises
    ------
    ValueError
        When none is left.

    Examples
    --------
    >>> training_clips(pd.DataFrame({"path": ["a", "b"], "label": [1, -1]}))["path"].tolist()
    ['a']
    """
    keep = np.ones(len(table), dtype=bool)
    if "split" in table and (table["split"] == "train").any():
        keep &= (table["split"] == "train").to_numpy()
    if "label" in table:
        keep &= (table["label"].fillna(1) == 1).to_numpy()
    if not keep.any():
        raise ValueError("There is no normal clip for training; put some in a folder 'train'.")
    return table[keep]


def new_normal_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Pick the clips to recalibrate on: normal ones, of no part for training.

    Parameters
    ----------
    table : DataFrame
        The clip table; clips of which nothing is known are normal and new.

    Returns
    -------
    DataFrame
        Some of its rows.

    Raises
    ------
    ValueError
        When none is left.

    Examples
    --------
    >>> table = pd.DataFrame({"path": ["a", "b", "c"], "split": ["train", "test", "test"],
    ...                       "label": [1, 1, -1]})
    >>> new_normal_clips(table)["path"].tolist()
    ['b']
    """
    keep = np.ones(len(table), dtype=bool)
    if "split" in table:
        keep &= table["split"].ne("train").to_numpy()
    if "label" in table:
        keep &= (table["label"].fillna(1) == 1).to_numpy()
    if not keep.any():
        raise ValueError(
            "There is no new normal clip: a model may have learnt from those of a part 'train', by "
            "which most others would be alarms. Name normal recordings that it has not learnt from."
        )
    return table[keep]


def held_out_clips(table: pd.DataFrame, *, labelled: bool = True) -> pd.DataFrame:
    """Pick the clips held out for testing.

    Parameters
    ----------
    table : DataFrame
        The clip table.
    labelled : bool, default=True
        Only those with a label.

    Returns
    -------
    DataFrame
        Some of its rows, perhaps none.
    """
    if "split" not in table or (labelled and "label" not in table):
        return table[:0]
    clips = table[table["split"] == "test"]
    return clips[clips["label"].notna()] if labelled else clips


def usable_machines(table: pd.DataFrame, *, labelled: bool = True) -> tuple[list[str], list[str]]:
    """Tell the machines that can be trained on and tested.

    Parameters
    ----------
    table : DataFrame
        The clip table.
    labelled : bool, default=True
        Ask for test clips of both labels.

    Returns
    -------
    usable, others : list of str
        Names of machines, in the order of the table.

    Examples
    --------
    >>> table = pd.DataFrame({"machine": ["fan"] * 3, "split": ["train", "test", "test"],
    ...                       "label": [1, 1, -1]})
    >>> usable_machines(table)
    (['fan'], [])
    """
    usable: list[str] = []
    others: list[str] = []
    for name, clips in table.groupby("machine", sort=False):
        held_out = held_out_clips(clips, labelled=labelled)
        is_trainable = "split" in clips and (clips["split"] == "train").any()
        is_testable = len(held_out) > 0 and (not labelled or held_out["label"].nunique() == 2)
        (usable if is_trainable and is_testable else others).append(str(name))
    return usable, others
