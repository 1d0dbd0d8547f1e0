"""Clip tables from a manifest: a table that the user wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable

import pandas as pd

from sklasd.clips._clip_error import clip_name
from sklasd.datasets._files import MOST_LISTED, SPLITS
from sklasd.datasets._words import find_label, find_split
from sklasd.utils._lists import name_some

MANIFEST_SUFFIXES = (".csv", ".parquet", ".pq")
_TEXT = ("path", "machine", "section", "domain", "split", "attributes", "id")
_SECTION = re.compile(r"(?:id_|section_)?(\d+)")
_ID = r"(?:id|section)_\d+"
_DOMAINS = {"source": "source", "target": "target"}


def read_manifest(path: str, anomaly_label: object = None) -> pd.DataFrame:
    """Read a manifest into a clip table; rows and other columns stay as they are.

    `path` is absolute. `anomaly_label` is the label that means anomalous; None derives it from the
    values.
    """
    table = _read_file(path)
    if "path" not in table:
        raise ValueError(
            f"The manifest {path!r} has no column 'path' (its columns: {list(table.columns)}); "
            "rename the one with the file names to 'path'."
        )
    table["path"] = _find_clips(table["path"], path)
    if "section" not in table and "id" in table:
        ids = table["id"].astype(str)  # a column "id" can also number the clips
        if ids.str.fullmatch(_ID).all():
            table["section"] = ids
    if "section" in table:
        table["section"] = table["section"].map(_two_digits, na_action="ignore")
    if "split" in table:
        table["split"] = _translate(table["split"], find_split, f"one of {SPLITS}", path)
    if "domain" in table:
        table["domain"] = _translate(table["domain"], _DOMAINS.get, "source or target", path)
    if "label" in table:
        table["label"] = read_labels(table["label"], path, anomaly_label)
    elif anomaly_label is not None:
        raise ValueError(
            f"Got anomaly_label={anomaly_label!r}, but the manifest {path!r} has no column 'label'."
        )
    return table


def _read_file(path: str) -> pd.DataFrame:
    try:
        if path.lower().endswith(".csv"):
            # As numbers, sections would lose their leading zeros.
            return pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str))
        return pd.read_parquet(path).reset_index(drop=True)
    except ImportError as error:
        raise ImportError(
            f"Reading {path!r} needs the package pyarrow: pip install pyarrow, or save the "
            "manifest as CSV."
        ) from error
    except ValueError as error:  # pandas' errors about contents are of this kind
        raise ValueError(f"The manifest {path!r} cannot be read: {error}") from error


def _find_clips(paths: pd.Series, manifest: str) -> list[str]:
    """Make paths absolute, and check that all clips exist."""
    if paths.empty or paths.isna().any():
        rows = paths.index[paths.isna()].tolist()
        what = f"no path in its rows {name_some(rows)}" if rows else "no clips"
        raise ValueError(f"The manifest {manifest!r} lists {what}; fill in the column 'path'.")
    folder = os.path.dirname(manifest)
    found = [os.path.normpath(os.path.join(folder, os.path.expanduser(p))) for p in paths]
    missing = [clip_name(i, path) for i, path in enumerate(found) if not os.path.isfile(path)]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(found)} clips of the manifest {manifest!r} do not exist; "
            f"relative paths start at its folder. Missing: {name_some(missing, MOST_LISTED)}."
        )
    return found


def _two_digits(section: object) -> str:
    match = _SECTION.fullmatch(str(section))
    return match[1].zfill(2) if match else str(section)


def _translate(
    values: pd.Series, find: Callable[[str], Hashable], expected: str, manifest: str
) -> pd.Series:
    """Replace each value by its meaning, and refuse values that have none."""
    meaning = {value: find(str(value).strip().lower()) for value in values.dropna().unique()}
    unknown = [value for value, found in meaning.items() if found is None]
    if unknown:
        raise ValueError(
            f"The manifest {manifest!r} has {values.name}={name_some([*map(repr, unknown)])}; "
            f"expected {expected}."
        )
    return values.map(meaning)


def read_labels(labels: pd.Series, manifest: str, anomaly_label: object = None) -> pd.Series:
    """Return labels as +1 (normal) and -1 (anomalous); missing ones stay missing.

    Examples
    --------
    >>> read_labels(pd.Series([0, 1]), "m.csv").tolist()
    [1, -1]
    >>> read_labels(pd.Series(["ok", "worn"]), "m.csv", anomaly_label="worn").tolist()
    [1, -1]
    """
    present = labels.dropna()
    if anomaly_label is not None:
        # A column with gaps has floats, 1.0 for 1, and a column with words has the text "1".
        same = present.map(lambda value: value == anomaly_label or str(value) == str(anomaly_label))
        return same.map({True: -1, False: 1}).reindex(labels.index)
    numbers = pd.to_numeric(present, errors="coerce")
    if numbers.isna().any():
        expected = "words for normal and anomalous, +1 / -1 or 0 / 1, or pass anomaly_label"
        return _translate(labels, find_label, expected, manifest)
    values = set(numbers)
    # True could mean "normal" as well as "anomalous", and so could a column of ones.
    if values <= {1, -1} and values != {1} and labels.dtype != bool:
        return numbers.reindex(labels.index)
    if values <= {0, 1} and values != {1} and labels.dtype != bool:
        return (1 - 2 * numbers).reindex(labels.index)
    raise ValueError(
        f"The manifest {manifest!r} has label={sorted(present.unique().tolist())}, which could "
        "mean either: +1 / -1 and 0 / 1 (1 is anomalous) are read, but not ones "
        "alone. Pass the value that means anomalous: for example anomaly_label=1, or "
        "anomaly_label=-1 if ones are normal."
    )
