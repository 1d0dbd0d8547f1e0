"""How the result files of each year of DCASE Task 2 are named, and the clips in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklasd.datasets._dcase_names import clip_stem
from sklasd.datasets._dcase_years import YEARS
from sklasd.utils._lists import name_some

SCORE, DECISION = "anomaly_score", "decision_result"

_KIND = rf"(?P<kind>{SCORE}|{DECISION})_"
_SECTION = r"section_(?P<section>\d\d)_(?:(?P<domain>source|target)_)?test"
_PATTERNS = (
    # What the official baseline writes from 2023 on comes first: its tags can hold anything.
    re.compile(rf"{_KIND}DCASE20\d\dT2(?P<machine>.+)_{_SECTION}_seed.*_Eval\.csv"),
    re.compile(rf"{_KIND}(?P<machine>.+)_{_SECTION}\.csv"),
    re.compile(rf"{_KIND}(?P<machine>.+)_id_(?P<section>\d\d)\.csv"),
)
_WITH_IDS = _PATTERNS[-1]
# There is no quoting in the files, and the machine becomes a part of a file's name.
_UNWRITABLE = re.compile(r'[,"/\\\r\n]')


class ResultFile(NamedTuple):
    """What the name of a result file says.

    Parameters
    ----------
    kind : {"anomaly_score", "decision_result"}
        What is in the file.
    machine, section : str
        Whose clips are in it; the section has two digits and is the machine id in 2020.
    domain : {"source", "target", ""}
        "" except in 2021.
    form : {"2020", "2021", "2022-2026"}
        The years that name their files so.
    """

    kind: str
    machine: str
    section: str
    domain: str
    form: str


def needed_columns(year: int) -> list[str]:
    """Columns of a clip table by which a year's files are told apart.

    Examples
    --------
    >>> needed_columns(2021)
    ['machine', 'section', 'domain']
    """
    return ["machine", "section", "domain"] if year == 2021 else ["machine", "section"]


def result_name(kind: str, year: int, machine: str, section: str, domain: str = "") -> str:
    """Name a result file as the year's rules ask.

    Examples
    --------
    >>> result_name("anomaly_score", 2020, "fan", "05")
    'anomaly_score_fan_id_05.csv'
    >>> result_name("decision_result", 2021, "fan", "03", "target")
    'decision_result_fan_section_03_target_test.csv'
    """
    if year == 2020:
        return f"{kind}_{machine}_id_{section}.csv"
    middle = f"{domain}_" if year == 2021 else ""
    return f"{kind}_{machine}_section_{section}_{middle}test.csv"


def parse_result_name(name: str) -> ResultFile | None:
    """Read the name of a result file, of any year or of the official baseline.

    Examples
    --------
    >>> parse_result_name("anomaly_score_DCASE2023T2fan_section_00_test_seed1_id(0_)_Eval.csv")[:3]
    ('anomaly_score', 'fan', '00')
    >>> parse_result_name("anomaly_score.csv") is None
    True
    """
    for pattern in _PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            said = match.groupdict(default="")
            domain = said.get("domain", "")
            form = "2020" if pattern is _WITH_IDS else "2021" if domain else "2022-2026"
            return ResultFile(said["kind"], said["machine"], said["section"], domain, form)
    return None


def wav_name(path: str | os.PathLike[str]) -> str:
    """Name a clip as result files do, whatever format it is kept in.

    Examples
    --------
    >>> wav_name("fan/test/section_00_0000.flac")
    'section_00_0000.wav'
    """
    return f"{clip_stem(os.fspath(path))}.wav"


def find_year(clips: Any, year: int | None) -> int:
    """Return the year given, or that of a clip table.

    Parameters
    ----------
    clips : DataFrame
        The clip table.
    year : int or None
        None reads the column `year`.

    Raises
    ------
    TypeError
        For anything else than a clip table.
    ValueError
        If there is not exactly one, or it is none of the challenge's.
    """
    _check_table(clips)
    found: list[Any] = [year]
    if year is None:
        found = clips["year"].unique().tolist() if "year" in clips else []
    if len(found) != 1 or found[0] not in YEARS:
        said = f"year={year!r}" if year is not None else f"clips of the years {found}"
        raise ValueError(
            f"Got {said}, but a submission is of one year, in {list(YEARS)}; pass year=..., or "
            "the clips of one year."
        )
    return int(found[0])


def identify_clips(clips: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Say by what each clip of a table is known in result files, having checked that it can be.

    Parameters
    ----------
    clips : DataFrame
        The clip table.
    columns : sequence of str
        Of "machine", "section", "domain", those that are needed.

    Returns
    -------
    DataFrame
        These columns and `name`, all of them str, numbered from 0.

    Raises
    ------
    ValueError
        For missing columns or values, unusable values, and clips that are there twice.
    """
    _check_columns(clips, ["path", *columns])
    names = [wav_name(path) for path in clips["path"]]
    known = clips[list(columns)].reset_index(drop=True).assign(name=names)
    _refuse(known.isna().any(axis=1), known, f"lack one of {list(columns)}; fill it in")
    known = known.astype(str)
    if "section" in known:
        known["section"] = known["section"].str.zfill(2)
        unlike = ~known["section"].str.fullmatch(r"\d\d")
        _refuse(unlike, known, "have a section that is not of two digits, such as '00'; rename it")
    if "domain" in known:
        unlike = ~known["domain"].isin(["source", "target"])
        _refuse(unlike, known, "have a domain that is neither 'source' nor 'target'; correct it")
    unwritable = known.map(lambda value: bool(_UNWRITABLE.search(value))).any(axis=1)
    _refuse(unwritable, known, "have a machine or name with a comma, quote or slash; rename them")
    _refuse(known.duplicated(keep=False), known, "are there more than once; pass each clip once")
    return known


def check_length(values: ArrayLike, name: str, n_clips: int) -> NDArray:
    """Check that there is one value per clip."""
    column = np.asarray(values)
    if column.shape != (n_clips,):
        raise ValueError(
            f"Got {name} of shape {column.shape}, but there are {n_clips} clips; pass one value "
            "per clip, in the same order."
        )
    return column


def lay_out(
    known: pd.DataFrame, columns: list[str], year: int, folder: Path
) -> dict[Path, list[str]]:
    """Say which lines go into which file.

    Parameters
    ----------
    known : DataFrame
        From `identify_clips`, with `score` and maybe `decision` as they are to be written.
    columns : list of str
        By which files are told apart.
    year : int
        The challenge's year.
    folder : Path
        Where the files go.

    Returns
    -------
    dict
        The lines of each file.
    """
    kinds = {SCORE: "score", DECISION: "decision"}
    if year == 2020 or "decision" not in known:
        del kinds[DECISION]
    contents = {}
    for group, rows in known.sort_values("name").groupby(columns):
        for kind, column in kinds.items():
            lines = (rows["name"] + "," + rows[column]).tolist()
            contents[folder / result_name(kind, year, *group)] = lines
    return contents


def refuse_stale(contents: Iterable[Path]) -> None:
    """Refuse to leave decisions of an earlier run beside the scores of this one."""
    partners = {path.with_name(path.name.replace(SCORE, DECISION, 1)) for path in contents}
    stale = sorted(path for path in partners - set(contents) if path.exists())
    if stale:
        raise FileExistsError(
            "Got no decisions, but there are some of an earlier run that would not belong to these "
            f"scores; remove them, or pass decisions. They are: {name_some(stale)}."
        )


def list_clips(known: pd.DataFrame) -> str:
    """List clips in a message, by all that is known of them.

    Examples
    --------
    >>> list_clips(pd.DataFrame({"machine": ["fan"], "section": ["00"], "name": ["a.wav"]}))
    'fan/00/a.wav'
    """
    rows = known.astype(object).fillna("?").itertuples(index=False, name=None)
    return name_some(["/".join(str(part) for part in row if part != "") for row in rows])


def _check_table(clips: Any) -> None:
    if not isinstance(clips, pd.DataFrame):
        raise TypeError(
            f"Got clips of type {type(clips).__name__}, but a clip table is expected, a DataFrame "
            "with one row per clip such as load_dcase makes."
        )


def _check_columns(clips: pd.DataFrame, needed: list[str]) -> None:
    missing = [name for name in needed if name not in clips]
    if missing:
        raise ValueError(
            f"Got clips with the columns {list(clips.columns)}, but {missing} are needed as well "
            "for the result files; add them, or make the clip table with load_dcase."
        )


def _refuse(found: pd.Series, known: pd.DataFrame, problem: str) -> None:
    if found.any():
        raise ValueError(
            f"Got clips of which {found.sum()} {problem}. They are: {list_clips(known[found])}."
        )
