"""Names of the result files of each year of DCASE Task 2, and of the clips in them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklasd.datasets._dcase_names import clip_stem
from sklasd.datasets._dcase_years import YEARS
from sklasd.metrics._scored_clips import DOMAINS, single_year
from sklasd.utils._lists import name_some

SCORE, DECISION = "anomaly_score", "decision_result"
MOST = 100  # as many clips, files or lines are named in a message

_KIND = rf"(?P<kind>{SCORE}|{DECISION})_"
_SECTION = r"section_(?P<section>\d\d)_(?:(?P<domain>source|target)_)?test"
_PATTERNS = (
    # The official baseline writes such names from 2023 on. They come first: its tags can hold
    # anything, so that the next pattern would take them for a part of the machine.
    re.compile(rf"{_KIND}DCASE20\d\dT2(?P<machine>.+)_{_SECTION}_seed.*_Eval\.csv"),
    re.compile(rf"{_KIND}(?P<machine>.+)_{_SECTION}\.csv"),
    re.compile(rf"{_KIND}(?P<machine>.+)_id_(?P<section>\d\d)\.csv"),
)
# There is no quoting in the files, and the machine becomes a part of a file's name.
_UNWRITABLE = re.compile(r'[,"/\\\r\n]')


class ResultFile(NamedTuple):
    """Parts of the name of a result file; `form` is the span of years that name files so."""

    kind: str
    machine: str
    section: str
    domain: str
    form: str


def needed_columns(year: int) -> list[str]:
    """Return the columns of a clip table that tell a year's files apart.

    Examples
    --------
    >>> needed_columns(2021)
    ['machine', 'section', 'domain']
    """
    return ["machine", "section", "domain"] if year == 2021 else ["machine", "section"]


def result_name(kind: str, year: int, machine: str, section: str, domain: str = "") -> str:
    """Name a result file by the year's rules.

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
    """Parse the name of a result file, of any year or of the official baseline.

    Examples
    --------
    >>> parse_result_name("anomaly_score_DCASE2023T2fan_section_00_test_seed1_id(0_)_Eval.csv")[:3]
    ('anomaly_score', 'fan', '00')
    >>> parse_result_name("anomaly_score.csv") is None
    True
    """
    match = next(filter(None, (pattern.fullmatch(name) for pattern in _PATTERNS)), None)
    if match is None:
        return None
    parts = {"domain": ""} | match.groupdict(default="")
    # Machine ids instead of sections are those of 2020, and only 2021 has files per domain.
    with_ids = match.re is _PATTERNS[-1]
    form = "2020" if with_ids else "2021" if parts["domain"] else "2022-2026"
    return ResultFile(**parts, form=form)


def wav_name(path: str | os.PathLike[str]) -> str:
    """Name a clip as result files do, whatever its format.

    Examples
    --------
    >>> wav_name("fan/test/section_00_0000.flac")
    'section_00_0000.wav'
    """
    return f"{clip_stem(os.fspath(path))}.wav"


def submission_year(clips: Any, year: int | None) -> int:
    """Return the given year, or that of the clip table; refuse anything but one DCASE year."""
    if not isinstance(clips, pd.DataFrame):
        raise TypeError(
            f"Got clips of type {type(clips).__name__}, but a clip table is expected, a DataFrame "
            "with one row per clip such as load_dcase makes."
        )
    found = single_year(clips)  # refuses several years, even if one of them is given
    year = found if year is None else year
    if year is None or year not in YEARS:
        raise ValueError(
            f"Got year={year!r}, but a submission is of one year, in {list(YEARS)}; pass year=..., "
            "or clips with such a column 'year'."
        )
    return int(year)


def identify_clips(clips: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return what identifies each clip in result files: `columns` and `name`, checked, as str."""
    missing = [name for name in ("path", *columns) if name not in clips]
    if missing:
        raise ValueError(
            f"Got clips with the columns {list(clips.columns)}, but {missing} are needed as well "
            "for the result files; add them, or make the clip table with load_dcase."
        )
    names = [wav_name(path) for path in clips["path"]]
    keys = clips[list(columns)].reset_index(drop=True).assign(name=names)
    refuse(keys.isna().any(axis=1), keys, f"lack one of {list(columns)}; fill it in")
    keys = keys.astype(str)
    if "section" in keys:
        # A table read from a CSV file has numbers there, such as 0 for "00".
        keys["section"] = keys["section"].str.zfill(2)
        unlike = ~keys["section"].str.fullmatch(r"\d\d")
        refuse(unlike, keys, "have a section that is not of two digits, such as '00'; rename it")
    if "domain" in keys:
        unlike = ~keys["domain"].isin(DOMAINS)
        refuse(unlike, keys, "have a domain that is neither 'source' nor 'target'; correct it")
    unwritable = keys.map(lambda value: bool(_UNWRITABLE.search(value))).any(axis=1)
    refuse(unwritable, keys, "have a machine or name with a comma, quote or slash; rename them")
    refuse(keys.duplicated(keep=False), keys, "occur more than once; pass each clip once")
    return keys


def refuse(found: NDArray[np.bool_] | pd.Series, keys: pd.DataFrame, problem: str) -> None:
    """Raise an error that lists the clips with a problem, if there are any."""
    if found.any():
        raise ValueError(
            f"Got {found.sum()} clips that {problem}. They are: {list_clips(keys[found])}."
        )


def list_clips(keys: pd.DataFrame) -> str:
    """List clips in a message, by all columns of `keys`.

    Examples
    --------
    >>> list_clips(pd.DataFrame({"machine": ["fan"], "section": ["00"], "name": ["a.wav"]}))
    'fan/00/a.wav'
    """
    rows = keys.astype(object).fillna("?").itertuples(index=False, name=None)
    return name_some(["/".join(str(part) for part in row if part != "") for row in rows], MOST)
