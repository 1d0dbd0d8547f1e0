"""Tables of the command line: on the screen, and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sklasd.utils._output import replacing

if TYPE_CHECKING:
    import pandas as pd


def as_text(table: pd.DataFrame, decimals: int) -> str:
    """Lay a table out for a terminal."""
    return table.to_string(index=False, float_format=lambda x: f"{x:.{decimals}f}", na_rep="")


def as_json(table: pd.DataFrame) -> str:
    """Write an object per row and line, with null for missing values."""
    # pandas rounds to 10 decimals by default: 15 is the most that it takes.
    return table.to_json(orient="records", lines=True, double_precision=15).rstrip("\n")


def write_csv(table: pd.DataFrame, path: Path | None) -> None:
    """Write a table to a file, if there is a path."""
    if path is not None:
        with replacing(path) as unfinished:
            table.to_csv(unfinished, index=False)
