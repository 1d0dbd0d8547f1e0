"""Tables of areas under the ROC, with a volume meter beside the detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sklasd.metrics import evaluation_table
from sklasd.metrics._scored_clips import find_column, single_year

LEVEL = "RMS level"  # the volume meter that any detector has to beat


def compare_detectors(scored: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Make one table of several detectors, and of the volume meter.

    It has rows per machine, section and detector, with the means of `evaluation_table`. For the
    volume meter, louder is more anomalous: with an AUC near 0, faults are quieter.

    Parameters
    ----------
    scored : mapping of {str: DataFrame}
        By the detector's name, the result of `evaluate_machine`, all of the same clips of one year.
    """
    clips = next(iter(scored.values()))  # labels and levels are the same in all
    groups = {name: find_column(clips, name) for name in ("machine", "section", "domain")}
    year = int(single_year(clips) or 2020)  # its rule is the plain one, without domains
    rows = [(name, each["score"], each["decision"]) for name, each in scored.items()]
    parts = []
    for name, values, decision in [*rows, (LEVEL, -clips["level"], None)]:
        decides = decision is not None and decision.notna().all()
        part = evaluation_table(
            clips["label"], values, y_pred=decision if decides else None, year=year, **groups
        )
        parts.append(part.assign(detector=name))
    # A stable sort by row number puts the rows of one section below each other, the meter's last.
    table = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    first = [c for c in ("machine", "section", "domain", "row", "detector") if c in table]
    return table[first + [c for c in table if c not in first]]


def average_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Average the tables of several seeds, all of the same rows.

    A single table is returned as it is. Several give the means, and beside each its standard
    deviation (`<name>_std`) instead of the confidence interval.

    Examples
    --------
    >>> a = pd.DataFrame({"machine": ["fan"], "auc": [0.8], "auc_low": [0.7], "auc_high": [0.9]})
    >>> average_seeds([a, a.assign(auc=0.6)]).round(3)
      machine  auc  auc_std
    0     fan  0.7    0.141
    """
    if len(tables) == 1:
        return tables[0]
    # An interval of one seed says nothing about the mean of several.
    values = [c for c in tables[0].select_dtypes("number") if not c.endswith(("_low", "_high"))]
    stack = np.stack([table[values].to_numpy() for table in tables])
    result = tables[0].drop(columns=tables[0].select_dtypes("number").columns)
    mean, deviation = stack.mean(axis=0), stack.std(axis=0, ddof=1)
    for i, name in enumerate(values):
        result[name], result[f"{name}_std"] = mean[:, i], deviation[:, i]
    return result


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Select what fits on a screen: sections and the official score, areas and F1."""
    rows = table[table["row"].isin({"section", "official"})].copy()
    is_official = rows["row"] == "official"
    rows.loc[is_official, ["machine", "section"]] = ["official", ""]
    if "domain" in rows:
        rows.loc[is_official, "domain"] = ""
    wanted = (
        "machine", "section", "domain", "detector", "official", "official_std", "auc", "auc_low",
        "auc_high", "auc_std", "auc_source", "auc_target", "pauc", "pauc_std", "f1",
    )  # fmt: skip
    return rows[[c for c in wanted if c in rows]]
