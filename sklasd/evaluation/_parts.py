"""Which clips of a table to train on, and to test."""

from __future__ import annotations

import numpy as np
import pandas as pd


def training_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Select the normal clips of the part "train", or all normal clips if no part is named so.

    A clip without a label counts as normal.

    Examples
    --------
    >>> training_clips(pd.DataFrame({"path": ["a", "b"], "label": [1, -1]}))["path"].tolist()
    ['a']
    """
    keep = np.ones(len(table), dtype=bool)
    if "label" in table:
        keep &= (table["label"].fillna(1) == 1).to_numpy(dtype=bool)
    if "split" in table and (table["split"] == "train").any():
        keep &= (table["split"] == "train").to_numpy()
    if not keep.any():
        raise ValueError("There is no normal clip for training; put some in a folder 'train'.")
    return table[keep]


def held_out_clips(table: pd.DataFrame, *, labelled: bool = True) -> pd.DataFrame:
    """Select the test clips, by default only those with a label; there may be none."""
    if "split" not in table or (labelled and "label" not in table):
        return table[:0]
    clips = table[table["split"] == "test"]
    return clips[clips["label"].notna()] if labelled else clips


def usable_machines(table: pd.DataFrame, *, labelled: bool = True) -> tuple[list[str], list[str]]:
    """List the machines that can be trained and tested, and the others, in the table's order.

    With `labelled`, a machine needs test clips of both labels.

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
