"""Clips for a splitter: labels, exposed clips, groups, parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import _num_samples

from sklasd.utils._lists import name_some
from sklasd.utils._metadata import check_exposed, check_metadata, check_normal

Mask = NDArray[np.bool_]  # one per clip


@dataclass(frozen=True)
class SplitClips:
    """Labels and columns of clips. Supplemental clips are neither normal nor anomalous."""

    table: pd.DataFrame  # without columns where X is no clip table
    normal: Mask
    anomalous: Mask
    exposed: Mask

    @classmethod
    def read(cls, X: Any, y: Any, exposed: Any, *, needs_anomalies: bool = True) -> SplitClips:
        """Check labels and exposed clips; labels may be missing if no anomaly is needed."""
        if X is None:
            raise ValueError("Got X=None, but the folds depend on the clips; pass X and y.")
        table = X if isinstance(X, pd.DataFrame) else pd.DataFrame(index=range(_num_samples(X)))
        # What is given beside a table wins over its columns.
        outliers = check_exposed(table.get("exposed") if exposed is None else exposed, len(table))
        labels = table.get("label") if y is None else y
        if needs_anomalies or labels is not None:
            labels = _check_present(labels)
        normal = check_normal(labels, outliers)
        anomalous = ~normal & ~outliers
        if needs_anomalies and not anomalous.any():
            raise ValueError(
                "Got no anomalous clip (label -1) that is not exposed, but folds are scored on "
                "normal and anomalous clips; add some, recorded or from make_machine_clips."
            )
        if "split" in table:
            # Their label says normal, but often they are noise without the machine.
            usable = (~table["split"].isin(["supplemental"])).to_numpy()
            normal, anomalous = normal & usable, anomalous & usable
        return cls(table, normal, anomalous, outliers)

    @property
    def may_train(self) -> Mask:
        """Clips that `fit` learns from: those of the split "train", where there are such."""
        split = self.table.get("split", pd.Series("train", index=self.table.index))
        if not split.eq("train").any():
            return np.ones(len(self.table), dtype=bool)
        return split.eq("train").to_numpy() | self.exposed

    def part(self, name: str) -> Mask:
        """Return the machine's clips in a part of the column `split`, or all without it."""
        own = self.normal | self.anomalous
        return own & self.table["split"].isin([name]).to_numpy() if "split" in self.table else own

    def strata(self) -> NDArray[np.intp]:
        """Return a number for the machine, section and domain of each clip."""
        columns = [name for name in ("machine", "section", "domain") if name in self.table]
        if not columns:  # one stratum
            return np.zeros(len(self.table), dtype=np.intp)
        return self.table.groupby(columns, dropna=False, observed=True).ngroup().to_numpy()

    def grouping(self, given: Any, columns: Sequence[str]) -> pd.DataFrame:
        """Return the given groups, or else columns; none of the machine's clips may lack one."""
        absent = [name for name in columns if name not in self.table]
        if given is None and absent:
            raise ValueError(
                f"Got groups=None, and no clip table with {' and '.join(map(repr, absent))}; pass "
                "groups, one value per clip, or a clip table that has this column."
            )
        values = check_metadata("groups", given, len(self.table))
        frame = self.table[list(columns)] if given is None else pd.DataFrame({"groups": values})
        # Exposed clips may be of machines without sections or domains.
        missing = np.flatnonzero(
            frame.isna().any(axis=1).to_numpy() & (self.normal | self.anomalous)
        )
        if missing.size:
            raise ValueError(
                f"Got {missing.size} clips without {' or '.join(frame)}, at positions "
                f"{name_some(missing)}; fill it in, or leave these clips out."
            )
        return frame

    def numbers(self, given: Any, columns: Sequence[str]) -> NDArray[np.intp]:
        """Return the number of each clip's group; -1 for an exposed clip without one."""
        frame = self.grouping(given, columns)
        return frame.groupby(list(frame), observed=True).ngroup().fillna(-1).to_numpy(dtype=np.intp)

    def words(self, given: Any, column: str, expected: Sequence[str]) -> NDArray[np.str_]:
        """Return the word of each clip in a column, and check that it is expected."""
        words = self.grouping(given, [column]).iloc[:, 0].astype(str).to_numpy(dtype=str)
        unknown = set(words[self.normal | self.anomalous].tolist()) - set(expected)
        if unknown:
            raise ValueError(
                f"Got {column}={name_some([*map(repr, sorted(unknown))])}, but "
                f"{' or '.join(map(repr, expected))} is expected; correct the column, or the "
                "groups that replace it."
            )
        return words


def _check_present(labels: Any) -> NDArray:
    """Refuse missing labels: `check_normal` takes None to mean that all clips are normal."""
    if labels is None:
        raise ValueError(
            "Got y=None, and no clip table with a column 'label'; pass y with +1 for normal and "
            "-1 for anomalous clips."
        )
    missing = np.flatnonzero(pd.isna(np.asarray(labels)))
    if missing.size:
        raise ValueError(
            f"Got {missing.size} clips without a label, at positions {name_some(missing)}; "
            "leave them out, as in clips[clips['label'].notna()]."
        )
    return np.asarray(labels)
