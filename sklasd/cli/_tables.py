"""Tables of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def as_text(table: pd.DataFrame, decimals: int) -> str:
    """Lay a table out for a terminal."""
    return table.to_string(index=False, float_format=lambda x: f"{x:.{decimals}f}", na_rep="")


def as_json(table: pd.DataFrame) -> str:
    """Write a line for each row: an object, with null where there is nothing."""
    return table.to_json(orient="records", lines=True, double_precision=15).rstrip("\n")
