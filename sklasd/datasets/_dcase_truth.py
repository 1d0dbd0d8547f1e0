"""DCASE's tables: attributes of clips, and the ground truth of evaluation clips."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import pandas as pd

from sklasd.datasets._dcase_names import (
    ClipName,
    clip_stem,
    find_year,
    parse_clip_name,
    shown_attributes,
)
from sklasd.datasets._files import walk_folders

_TRUTH_TABLE = re.compile(r"(?:ground_truth|eval_data_list|attributes).*\.csv", re.IGNORECASE)
_MACHINE_IN_NAME = re.compile(r"ground_truth_(.+)_section_\d\d")
_YEAR_IN_NAME = re.compile(r"eval_data_list_(20\d\d)")

# Column of ``attributes_*_correspondence.csv`` with the names under which clips were released.
# The full names before it have other numbers.
_RELEASED = "target_file_name"

_Value = TypeVar("_Value")
Key = tuple[str, str]  # a machine, and a clip's name without attributes
AnyPath = str | os.PathLike[str]

READINGS = ("tables", "names")


class Truth(NamedTuple):
    """Published information on a clip, and the file that has it; None or "" where unknown."""

    label: int | None = None
    domain: str | None = None
    attributes: str = ""
    path: str = ""


class _Row(NamedTuple):
    """A line of a table: the clip it is about, then other names of the same recording."""

    machine: str
    names: list[ClipName]
    others: list[str]


def add_attributes(clips: pd.DataFrame, tables: list[str]) -> pd.Series:
    """Fill in attributes that names lack from the ``attributes_NN.csv`` of their machines.

    `clips` has ``machine, key, attributes``, the latter as in the names. Each table is in the
    folder of its machine; it names clips with folder and suffix, or by the stem. The result is ""
    where attributes are hidden or unknown.
    """
    written = clips["attributes"].fillna("")
    lacking = written == ""
    attributes = written.map(shown_attributes).astype(object)
    machines = set(clips.loc[lacking, "machine"])
    published: dict[Key, str] = {}
    for path in tables:
        if os.path.basename(os.path.dirname(path)) in machines:
            published.update(_read_attributes(path))
    if published:
        keys = zip(clips.loc[lacking, "machine"], clips.loc[lacking, "key"], strict=True)
        attributes[lacking] = [published.get(key, "") for key in keys]
    return attributes.astype(str)


def _read_attributes(path: str) -> dict[Key, str]:
    attributes = {
        (row.machine, row.names[0].key): shown_attributes("_".join(row.others))
        for row in _read_rows(path)
    }
    if not attributes and os.path.getsize(path) > 0:
        warnings.warn(
            f"The attribute table {path!r} names no clip in its first column and is not used.",
            stacklevel=4,
        )
    return attributes


def read_truth(paths: Iterable[AnyPath], clips: pd.DataFrame, by: str) -> dict[Key, Truth]:
    """Read a published ground truth of any year, by machine and key of the clips.

    Folders are searched for ``ground_truth*.csv``, ``eval_data_list*.csv`` and
    ``attributes*.csv``. Tables of another year than the clips' are skipped: machine types and
    anonymous names return in later years. `by` ("tables" or "names") is used for a machine where
    tables of 0 and 1 contradict full names.
    """
    wanted = set(zip(clips["machine"], clips["key"], strict=True))
    readings: dict[str, dict[Key, Truth]] = {reading: {} for reading in READINGS}
    for path in paths:
        for table in _find_tables(os.path.abspath(os.path.expanduser(path)), set(clips["year"])):
            for row in _read_rows(table):
                key = row.machine, row.names[0].key
                if key in wanted:
                    found = readings["tables" if _is_of_tables(row) else "names"]
                    found[key] = _combine(found.get(key, Truth()), _read_row(row, table), key)
    return _settle(readings, by)


def _settle(readings: dict[str, dict[Key, Truth]], by: str) -> dict[Key, Truth]:
    """Join tables and names; for a machine where they disagree, use one of them alone.

    If the labels of the tables are right, the names are wrong, and so are their attributes.
    """
    tables, names = (readings[reading] for reading in READINGS)
    disputed = [key for key in tables if key in names and _disagree(tables[key], names[key])]
    if disputed:
        _warn_of_dispute(tables, names, disputed, by)
    # One wrong clip makes the whole machine doubtful, not only this clip.
    machines = {key[0] for key in disputed}
    return {
        key: readings[by].get(key, Truth())
        if key[0] in machines
        else _combine(tables.get(key, Truth()), names.get(key, Truth()), key)
        for key in {**tables, **names}
    }


def _disagree(truth: Truth, other: Truth) -> bool:
    return _differ(truth.label, other.label) or _differ(truth.domain, other.domain)


def _differ(value: _Value | None, other: _Value | None) -> bool:
    return value is not None and other is not None and value != other


def _warn_of_dispute(
    tables: dict[Key, Truth], names: dict[Key, Truth], disputed: list[Key], by: str
) -> None:
    counts = []
    for machine in dict.fromkeys(key[0] for key in disputed):
        both = [key for key in tables if key[0] == machine and key in names]
        n_labels = sum(_differ(tables[key].label, names[key].label) for key in both)
        n_domains = sum(_differ(tables[key].domain, names[key].domain) for key in both)
        counts.append(
            f"{machine} (labels of {n_labels} of {len(both)} clips, domains of {n_domains})"
        )
    other = next(reading for reading in READINGS if reading != by)
    warnings.warn(
        f"The ground truth contradicts itself on {', '.join(counts)}: tables such as "
        f"{tables[disputed[0]].path!r}, which the official evaluator uses, and full names such as "
        f"in {names[disputed[0]].path!r}. Only the {by} are used for these machines; to use the "
        f"{other}, pass ground_truth_by={other!r}, or the files of the {other} alone.",
        stacklevel=6,
    )


def _find_tables(path: str, years: set[int]) -> list[str]:
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise FileNotFoundError(
            f"Got ground_truth={path!r}, but there is no such file or folder; check the path."
        )
    tables = []
    for folder in walk_folders(path):
        for name in filter(_TRUTH_TABLE.fullmatch, folder.tables):
            in_name = _YEAR_IN_NAME.match(name)
            below = os.path.relpath(folder.path, path).split(os.sep)
            year = int(in_name[1]) if in_name else find_year(below)
            if year is None or year in years:  # a table without a year is what the user asked for
                tables.append(os.path.join(folder.path, name))
    if not tables:
        raise ValueError(
            f"Got ground_truth={path!r}, a folder without a ground truth of {sorted(years)}; it "
            "should hold ground_truth_*.csv, eval_data_list*.csv or attributes_*.csv."
        )
    return tables


def _read_rows(path: str) -> Iterator[_Row]:
    """Yield the lines that name clips; a header names none, and in lists a word is a machine."""
    folder, name = os.path.split(path)
    stated = _MACHINE_IN_NAME.match(name)
    machine = stated[1] if stated else os.path.basename(folder)
    is_list = stated is None and not name.lower().startswith("attributes")
    released = 0  # the column with the name under which a clip was released
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            # Names have neither commas nor quotes, but a CSV parser can lose the rest of a damaged
            # table at a single quote.
            cells = [cell for cell in (cell.strip(' \t\r\n"') for cell in line.split(",")) if cell]
            parsed = [(cell, parse_clip_name(clip_stem(cell))) for cell in cells]
            names = [name for _, name in parsed if name]
            if names and parsed[0][1]:
                owner = cells[0].replace("\\", "/").partition("/")
                others = [cell for cell, name in parsed if not name]
                names.insert(0, names.pop(released if released < len(names) else 0))
                yield _Row(owner[0] if owner[1] else machine, names, others)
            elif _RELEASED in cells:
                released = cells.index(_RELEASED)
            elif is_list and len(cells) == 1:
                machine = cells[0]


def _is_of_tables(row: _Row) -> bool:
    """Return whether a line has a clip and 0 or 1, but no other name of the clip."""
    return len(row.names) == 1 and row.others in (["0"], ["1"])


def _read_row(row: _Row, path: str) -> Truth:
    # Only the full one among the names of a clip has a label and a domain.
    label = next((name.label for name in row.names if name.label), None)
    domain = next((name.domain for name in row.names if name.domain), None)
    # The last names are the fullest: anonymous, "noAttribute", then what was withheld.
    shown = [shown_attributes(name.attributes) for name in reversed(row.names)]
    attributes = next(filter(None, shown), "")
    if row.others in (["0"], ["1"]):  # 1 is anomalous, or target in a table of domains
        if os.path.basename(os.path.dirname(path)) == "ground_truth_domain":
            domain = ("source", "target")[int(row.others[0])]
        else:
            label = _combine_values(label, (1, -1)[int(row.others[0])], (row.machine, path))
    return Truth(label, domain, attributes, path)


def _combine(old: Truth, new: Truth, key: Key) -> Truth:
    return Truth(
        _combine_values(old.label, new.label, key),
        _combine_values(old.domain, new.domain, key),
        new.attributes or old.attributes,
        old.path or new.path,
    )


def _combine_values(old: _Value | None, new: _Value | None, key: Key) -> _Value | None:
    if _differ(old, new):
        raise ValueError(
            f"The ground truth contradicts itself on {key[1]!r} of {key[0]!r}: it says both "
            f"{old!r} and {new!r}. Pass the tables of one year only."
        )
    return old if new is None else new
