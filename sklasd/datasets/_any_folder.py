"""Any folder or manifest as a clip table, in the layout of DCASE or not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from sklasd.datasets._clip_folder import load_clips
from sklasd.datasets._dcase import NotDCASEError, load_dcase


def read_folder(root: str | os.PathLike[str], ground_truth: Any = None) -> pd.DataFrame:
    """Make a clip table of a folder or a manifest, always with a column `machine`.

    Where nothing names a machine, it is the folder's name. `ground_truth` is for DCASE's
    evaluation data, as in `load_dcase`.
    """
    table = read_table(root, ground_truth)
    return table if "machine" in table else table.assign(machine=Path(root).absolute().name)


def read_table(root: str | os.PathLike[str], ground_truth: Any = None) -> pd.DataFrame:
    """Make a clip table of a folder or a manifest, whether or not it is from DCASE."""
    try:
        return load_dcase(root, ground_truth=ground_truth)
    except (NotDCASEError, NotADirectoryError):
        # Only DCASE has a ground truth. DCASE data with something wrong in them raise other
        # errors, which the user has to see.
        if ground_truth is not None:
            raise
        return load_clips(root)
