"""The columns of the report, each declared once: for the table, the cards, filters and sorting.

The template and the script know no column by its name. A new one is a line of `COLUMNS`, and a line
of docs/report.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sklasd.report._clip_media import ClipMedia

_OUTCOMES = {  # by label and decision: what to call it, and its class in style.css
    (-1, -1): ("fault found", "right"),
    (-1, 1): ("fault missed", "wrong"),
    (1, -1): ("false alarm", "wrong"),
    (1, 1): ("correctly normal", "right"),
}
_FULL_METER = 4  # the distance that fills a meter; style.css draws the threshold at a quarter


class ClipRow(NamedTuple):
    """A clip of the report, by its row of the scored table; only the worst have media."""

    rank: int
    name: str
    path: str
    machine: str
    clip: pd.Series
    media: ClipMedia | None

    @property
    def decision(self) -> str:
        return "anomalous" if self.clip["decision"] == -1 else "normal"

    @property
    def outcome(self) -> tuple[str, str]:
        """Name of the outcome, and its style; empty for clips without a label."""
        return _OUTCOMES.get((self.clip.get("label"), self.clip["decision"]), ("", ""))

    @property
    def meter(self) -> int:
        """How far the meter is filled, in percent."""
        return round(100 * min(max(self.clip["distance"] / _FULL_METER, 0), 1))


class Column(NamedTuple):
    """Something that the report says of each clip.

    Parameters
    ----------
    key : str
        Name in the HTML, of letters and underscores.
    title : str
        Heading.
    read : callable
        Returns the value for a `ClipRow`; a missing one is shown as nothing.
    form : str, default=""
        Of numbers, as in `format`; a column with a form is sorted by the numbers.
    where : {"both", "table", "cards"}, default="both"
        Cards are the clips with pictures and sounds.
    look : {"plain", "link", "meter", "tag"}, default="plain"
        Macro of the template that draws a cell of the table.
    style : callable, default=None
        Returns the class of a tag in style.css.
    is_filter : bool, default=False
        Whether clips can be filtered by it.
    may_be_same : bool, default=True
        Whether the table shows it where all clips have the same value.
    falls : bool, default=False
        Whether it is sorted from the greatest to the least at first.
    """

    key: str
    title: str
    read: Callable[[ClipRow], Any]
    form: str = ""
    where: str = "both"
    look: str = "plain"
    style: Callable[[ClipRow], str] | None = None
    is_filter: bool = False
    may_be_same: bool = True
    falls: bool = False

    @property
    def direction(self) -> str:
        """The direction of the first sorting, in the words of HTML's `aria-sort`."""
        return "descending" if self.falls else "ascending"

    def text(self, row: ClipRow) -> str:
        """Return what a cell shows."""
        value = self.read(row)
        # None, NaN and pandas' NA: data sets write missing values in each of these ways.
        if pd.isna(value):
            return ""
        return format(value, self.form).replace("inf", "∞") if self.form else str(value)

    def number(self, row: ClipRow) -> str:
        """Return what a cell is sorted by, as JavaScript reads it."""
        value = self.read(row)
        # Neither "inf" nor "nan" is a number in JavaScript.
        if np.isinf(value):
            return f"{'-' if value < 0 else ''}Infinity"
        return "NaN" if np.isnan(value) else str(value)

    def options(self, rows: list[ClipRow]) -> list[str]:
        """Return the different texts of the column."""
        return sorted({self.text(row) for row in rows} - {""})

    def is_shown(self, rows: list[ClipRow]) -> bool:
        """Whether the table has the column: where it tells something about these clips."""
        n_least = 1 if self.may_be_same else 2
        return self.where != "cards" and len(self.options(rows)) >= n_least


def _of_table(name: str) -> Callable[[ClipRow], Any]:
    """Read a column of the scored clip table, which a data set may lack."""
    return lambda row: row.clip.get(name)


# The clips are in the order of this one, the worst first.
ORDER = Column("distance", "Distance", _of_table("distance"), ".2f", look="meter", falls=True)
COLUMNS = (
    Column("rank", "Rank", lambda row: row.rank, "d", where="table"),
    Column("name", "Clip", lambda row: row.name, where="table", look="link"),
    Column("machine", "Machine", lambda row: row.machine, where="table", is_filter=True,
           may_be_same=False),
    Column("section", "Section", _of_table("section"), is_filter=True, may_be_same=False),
    Column("domain", "Domain", _of_table("domain"), is_filter=True, may_be_same=False),
    Column("score", "Score", _of_table("score"), ".4g"),
    Column("threshold", "Threshold", _of_table("threshold"), ".4g", where="cards"),
    ORDER,
    Column("p_value", "p-value", _of_table("p_value"), ".2g"),
    Column("decision", "Decision", lambda row: row.decision, where="table", look="tag",
           style=lambda row: row.decision, is_filter=True),
    Column("outcome", "Outcome", lambda row: row.outcome[0], where="table", look="tag",
           style=lambda row: row.outcome[1], is_filter=True),
    Column("fault", "Fault", _of_table("fault"), where="cards"),
    Column("attributes", "Attributes", _of_table("attributes"), where="cards"),
    Column("path", "File", lambda row: row.path, where="cards"),
)  # fmt: skip
