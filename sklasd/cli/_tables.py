"""Tables of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def as_text(table: pd.DataFrame, decimals: int) -> str:
    """Lay a table out for a terminal."""
    return table.to_string(index=False, float_format=lambda x: f"{x:.{decimals}f}", na_rep="")
