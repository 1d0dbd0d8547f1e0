"""Reading the result files of DCASE Task 2, and finding what is wrong with them."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from sklasd.submission._names import (
    DECISION,
    SCORE,
    ResultFile,
    identify_clips,
    list_clips,
    parse_result_name,
    wav_name,
)
from sklasd.utils._lists import name_some

KEYS = ["machine", "section", "domain", "name"]
_CLIP = re.compile(r"[^,\"/\\]+\.wav")
_SHAPES = {SCORE: "<name>.wav,<number>", DECISION: "<name>.wav,0 or <name>.wav,1"}


def read_files(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the lines of all result files, those of scores and those of decisions.

    Parameters
    ----------
    folder : Path
        Where they lie.

    Returns
    -------
    dict of DataFrame
        For each kind `machine, section, domain, name`, the `value` as written and the `file`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no file of scores in it.
    ValueError
        For all names and lines that cannot be read.
    """
    files, problems = _find_files(folder)
    parts: dict[str, list[pd.DataFrame]] = {SCORE: [], DECISION: []}
    for path, said in files.items():
        rows, found = _read_file(path, said)
        parts[said.kind].append(rows)
        problems += found
    raise_problems(folder, problems)
    empty = pd.DataFrame(columns=[*KEYS, "value", "file"])
    return {
        kind: pd.concat(rows, ignore_index=True) if rows else empty for kind, rows in parts.items()
    }


def _find_files(folder: Path) -> tuple[dict[Path, ResultFile], list[str]]:
    if not folder.is_dir():
        raise FileNotFoundError(f"Got folder={str(folder)!r}, but there is no such folder.")
    paths = sorted(p for kind in (SCORE, DECISION) for p in folder.glob(f"{kind}*.csv"))
    parsed = {path: parse_result_name(path.name) for path in paths}
    files = {path: said for path, said in parsed.items() if said is not None}
    if not any(path.name.startswith(SCORE) for path in paths):
        raise FileNotFoundError(
            f"Got folder={str(folder)!r}, but there is no {SCORE}_*.csv right in it; pass the "
            "folder of one system's result files."
        )
    misnamed = [path.name for path, said in parsed.items() if said is None]
    problems = [f"Names that no year's files have: {name_some(misnamed)}."] if misnamed else []
    forms = {said.form: path.name for path, said in files.items()}
    if len(forms) > 1:
        problems.append(f"Files of different years, such as {name_some(sorted(forms.values()))}.")
    return files, problems


def _read_file(path: Path, said: ResultFile) -> tuple[pd.DataFrame, list[str]]:
    values: list[tuple[str, float]] = []
    unread: list[str] = []
    for number, line in enumerate(path.read_text("utf-8-sig", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values.append(_parse_line(line, said.kind))
        except ValueError:
            unread.append(f"line {number} ({line[:80]!r})")
    unfinite = [name for name, value in values if not math.isfinite(value)]
    problems = []
    if unread:
        problems.append(f"{path.name}, expected {_SHAPES[said.kind]}: {name_some(unread)}.")
    if unfinite:
        problems.append(f"{path.name}, NaN or infinity: {name_some(unfinite)}.")
    if not values and not unread:
        problems.append(f"{path.name} is empty.")
    rows = pd.DataFrame(values, columns=["name", "value"])
    place = said._asdict()
    return rows.assign(file=path.name, **{key: place[key] for key in KEYS[:3]}), problems


def _parse_line(line: str, kind: str) -> tuple[str, float]:
    name, _, text = (part.strip() for part in line.partition(","))
    if not _CLIP.fullmatch(name) or (kind == DECISION and text not in ("0", "1")):
        raise ValueError(line)
    return name, float(text)


def find_doubled(table: pd.DataFrame) -> list[str]:
    """Name the clips that come twice: names are unique within a machine, whatever the file."""
    doubled = table[table.duplicated(["machine", "name"], keep=False)]
    if doubled.empty:
        return []
    found = doubled.groupby(["machine", "name"])["file"].unique()
    named = [f"{'/'.join(clip)} in {' and '.join(files)}" for clip, files in found.items()]
    return [f"Clips that come more than once: {name_some(named)}."]


def compare(table: pd.DataFrame, other: pd.DataFrame, only_here: str, only_there: str) -> list[str]:
    """Name the clips of one table that the other lacks, and the reverse.

    Parameters
    ----------
    table, other : DataFrame
        One row per clip, with the same columns.
    only_here, only_there : str
        What clips are that only one of the two has.

    Returns
    -------
    list of str
        Two sentences at most.

    Examples
    --------
    >>> compare(pd.DataFrame({"name": ["a", "b"]}), pd.DataFrame({"name": ["b"]}), "More", "Fewer")
    ['More (1): a.']
    """
    here, there = (Counter(t.itertuples(index=False, name=None)) for t in (table, other))
    problems = []
    for left, said in ((here - there, only_here), (there - here, only_there)):
        if left:
            listed = list_clips(pd.DataFrame(sorted(left.elements())))
            problems.append(f"{said} ({left.total()}): {listed}.")
    return problems


def find_unexpected(
    scores: pd.DataFrame, clips: pd.DataFrame | Iterable[str | os.PathLike[str]]
) -> list[str]:
    """Name the clips that are missing from a submission, and those that nobody asked for."""
    if isinstance(clips, pd.DataFrame):
        clips = only_test_clips(clips)
        expected = identify_clips(clips, [c for c in scores if c in clips and c != "name"])
    else:
        expected = pd.DataFrame({"name": [wav_name(path) for path in clips]})
    return compare(scores[list(expected)], expected, "Unknown clips", "Missing clips")


def only_test_clips(clips: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows of other splits; the rows are numbered anew."""
    if "split" in clips:
        clips = clips[clips["split"] == "test"]
    return clips.reset_index(drop=True)


def check_labelled(clips: pd.DataFrame, known: pd.DataFrame) -> None:
    """Refuse test clips whose labels are not known."""
    lacking = clips["label"].isna() if "label" in clips else np.ones(len(clips), dtype=bool)
    if lacking.any():
        raise ValueError(
            f"Got {lacking.sum()} test clips without a label, which a score needs; pass "
            f"ground_truth=..., the published labels. They are: {list_clips(known[lacking])}."
        )


def join_scores(known: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Bring what was read into the order of the labels."""
    if "domain" in known and "domain" not in found:
        raise ValueError(
            "Got result files whose names tell no domain, but in 2021 each domain has its own, "
            "..._source_test.csv and ..._target_test.csv; write them with year=2021, or pass the "
            "year that they are of."
        )
    return known.merge(found, on=list(known), how="left", validate="one_to_one")


def raise_problems(folder: str | os.PathLike[str], problems: list[str]) -> None:
    """Raise all that was found as one ValueError, or nothing."""
    if problems:
        found = "\n".join(f"  {problem}" for problem in problems)
        raise ValueError(
            f"Got folder={os.fspath(folder)!r}, whose result files need correction:\n{found}"
        )
