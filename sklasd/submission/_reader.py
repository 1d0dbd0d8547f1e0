"""Reading the result files of DCASE Task 2, and finding what is wrong with them."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sklasd.submission._names import (
    DECISION,
    MOST,
    SCORE,
    ResultFile,
    identify_clips,
    list_clips,
    parse_result_name,
    wav_name,
)
from sklasd.utils._lists import name_some

KEYS = ["machine", "section", "domain", "name"]
# A name with a slash is a path, which no evaluator finds. Spaces around the comma do no harm.
_LINE = re.compile(r"\s*([^,\"/\\]+\.wav)\s*,\s*(\S+)\s*")
_SHAPES = {SCORE: "<name>.wav,<number>", DECISION: "<name>.wav,0 or <name>.wav,1"}


def read_files(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the lines of all result files: a table of scores and one of decisions.

    Each has `machine, section, domain, name`, the `value` as written and the `file`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no file of scores in it.
    ValueError
        For all names and lines that cannot be read.
    """
    files, problems = _find_files(folder)
    # The empty tables keep the columns where there is no file of a kind.
    tables = {kind: [pd.DataFrame(columns=[*KEYS, "value", "file"])] for kind in _SHAPES}
    for path, name in files.items():
        rows, found = _read_file(path, name)
        tables[name.kind].append(rows)
        problems += found
    raise_problems(folder, problems)
    scores, decisions = (pd.concat(parts[1:] or parts) for parts in tables.values())
    return scores, decisions


def _find_files(folder: Path) -> tuple[dict[Path, ResultFile], list[str]]:
    if not folder.is_dir():
        raise FileNotFoundError(f"Got folder={str(folder)!r}, but there is no such folder.")
    paths = sorted(p for kind in (SCORE, DECISION) for p in folder.glob(f"{kind}*.csv"))
    if not any(path.name.startswith(SCORE) for path in paths):
        raise FileNotFoundError(
            f"Got folder={str(folder)!r}, but there is no {SCORE}_*.csv right in it; pass the "
            "folder of one system's result files."
        )
    parsed = {path: parse_result_name(path.name) for path in paths}
    files = {path: name for path, name in parsed.items() if name is not None}
    misnamed = [path.name for path in paths if path not in files]
    problems = [f"Names that no year's files have: {name_some(misnamed, MOST)}."] * bool(misnamed)
    # Two ways of naming are files of two submissions.
    forms = {name.form: path.name for path, name in files.items()}
    if len(forms) > 1:
        problems.append(f"Files of different years, such as {', '.join(sorted(forms.values()))}.")
    return files, problems


def _read_file(path: Path, name: ResultFile) -> tuple[pd.DataFrame, list[str]]:
    values: list[tuple[str, float]] = []
    unread: list[str] = []
    # Bytes that are no text spoil a line, which is then named, and not the whole file.
    for number, line in enumerate(path.read_text("utf-8-sig", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values.append(_parse_line(line, name.kind))
        except ValueError:
            unread.append(f"line {number} ({line[:80]!r})")
    # float() reads "nan" and "inf", at which the official evaluators stop.
    infinite = [clip for clip, value in values if not math.isfinite(value)]
    problems = []
    if unread:
        problems.append(f"{path.name}, expected {_SHAPES[name.kind]}: {name_some(unread, MOST)}.")
    if infinite:
        problems.append(f"{path.name}, NaN or infinity: {name_some(infinite, MOST)}.")
    if not values and not unread:
        problems.append(f"{path.name} is empty.")
    # Rows of a file with problems are kept, so that all problems of all files are found at once.
    rows = pd.DataFrame(values, columns=["name", "value"])
    place = {"machine": name.machine, "section": name.section, "domain": name.domain}
    return rows.assign(file=path.name, **place), problems


def _parse_line(line: str, kind: str) -> tuple[str, float]:
    match = _LINE.fullmatch(line)
    if match is None or (kind == DECISION and match[2] not in ("0", "1")):
        raise ValueError(line)
    return match[1], float(match[2])


def find_doubled(table: pd.DataFrame) -> list[str]:
    """Name the clips that occur twice: names are unique within a machine, whatever the file."""
    # By machine and name alone: a clip in the files of two sections is a mistake, too.
    doubled = table[table.duplicated(["machine", "name"], keep=False)]
    if doubled.empty:
        return []
    files = doubled.groupby(["machine", "name"])["file"].unique()
    named = [f"{'/'.join(clip)} in {' and '.join(of_clip)}" for clip, of_clip in files.items()]
    return [f"Clips that occur more than once: {name_some(named, MOST)}."]


def find_differences(
    table: pd.DataFrame, other: pd.DataFrame, only_here: str, only_there: str
) -> list[str]:
    """Name the clips of one table that the other lacks, and the reverse, in a sentence each.

    Examples
    --------
    >>> table, other = pd.DataFrame({"name": ["a", "b"]}), pd.DataFrame({"name": ["b"]})
    >>> find_differences(table, other, "More", "Fewer")
    ['More (1): a.']
    """
    # Counters, not sets: a clip may occur more often in one table than in the other.
    here, there = (Counter(t.itertuples(index=False, name=None)) for t in (table, other))
    return [
        f"{label} ({left.total()}): {list_clips(pd.DataFrame(sorted(left.elements())))}."
        for left, label in ((here - there, only_here), (there - here, only_there))
        if left
    ]


def find_unexpected(
    scores: pd.DataFrame, clips: pd.DataFrame | Iterable[str | os.PathLike[str]]
) -> list[str]:
    """Name the clips that are missing from a submission, and those that nobody asked for."""
    if isinstance(clips, pd.DataFrame):
        clips = only_test_clips(clips)
        # Only by columns that both have: the names of files tell domains in 2021 only.
        expected = identify_clips(clips, [c for c in scores if c in clips and c != "name"])
    else:
        expected = pd.DataFrame({"name": [wav_name(path) for path in clips]})
    return find_differences(scores[list(expected)], expected, "Unknown clips", "Missing clips")


def only_test_clips(clips: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows of other parts, and number the rows anew."""
    if "split" in clips:
        clips = clips[clips["split"] == "test"]
    return clips.reset_index(drop=True)


def raise_problems(folder: str | os.PathLike[str], problems: list[str]) -> None:
    """Raise all problems as one ValueError, if there are any."""
    if problems:
        found = "\n".join(f"  {problem}" for problem in problems)
        raise ValueError(
            f"Got folder={os.fspath(folder)!r}, whose result files need correction:\n{found}"
        )
