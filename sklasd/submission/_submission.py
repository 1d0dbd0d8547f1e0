"""The result files that DCASE Task 2 asks for: written, checked, and scored from the files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklasd.datasets import load_dcase
from sklasd.metrics import evaluation_table
from sklasd.metrics._scored_clips import check_labels, check_length
from sklasd.submission._names import (
    DECISION,
    MOST,
    SCORE,
    identify_clips,
    needed_columns,
    refuse,
    result_name,
    submission_year,
)
from sklasd.submission._reader import (
    KEYS,
    find_differences,
    find_doubled,
    find_unexpected,
    only_test_clips,
    raise_problems,
    read_files,
)
from sklasd.utils._lists import name_some
from sklasd.utils._output import check_free, replacing


def write_submission(
    folder: str | os.PathLike[str],
    clips: pd.DataFrame,
    score: ArrayLike,
    decision: ArrayLike | None = None,
    *,
    year: int | None = None,
    force: bool = False,
) -> list[Path]:
    """Write anomaly scores and decisions as the challenge of a year asks for them.

    Parameters
    ----------
    folder : path
        Where the files go; made if there is none.
    clips : DataFrame
        Clip table of the test clips, with `path`, `machine`, `section`, and in 2021 `domain`.
    score : array-like of shape (n_clips,)
        Scores from the detector's `score_samples`: the higher, the more normal. The files hold the
        anomaly score, minus this.
    decision : array-like of shape (n_clips,), default=None
        Decisions from `predict`: +1 normal, -1 anomalous. The files hold 0 and 1. None writes no
        decisions. In 2020 there are no files for them.
    year : int, default=None
        2020 to 2026. None takes the year of `clips`.
    force : bool, default=False
        Overwrite files of the same names. Other files are never touched.

    Returns
    -------
    list of Path
        The files, by machine, section and domain.

    Raises
    ------
    TypeError
        If `clips` is not a DataFrame.
    ValueError
        If columns are missing; if a clip has no name or place in the files, or occurs twice; if
        clips are of several years; if lengths differ; if scores are not finite, or decisions
        neither +1 nor -1.
    FileExistsError
        For a file that exists; nothing is written then. Also, even with `force`, for decisions of
        an earlier run if there are none now.

    See Also
    --------
    read_submission : Reads and checks the files.
    score_submission : The official score, from the files.

    Notes
    -----
    =========  ==================================================================
    year       files
    =========  ==================================================================
    2020       ``anomaly_score_<machine>_id_<NN>.csv``
    2021       ``anomaly_score_<machine>_section_<NN>_source_test.csv``,
               ``..._target_test.csv``, and ``decision_result_...`` of each
    2022-2026  ``anomaly_score_<machine>_section_<NN>_test.csv`` and
               ``decision_result_<machine>_section_<NN>_test.csv``
    =========  ==================================================================

    Each line is a clip's base name with ``.wav``, a comma and the value; there is no header.
    Lines are sorted by name, and scores have the digits that give the same float64 when read.
    Infinite scores are refused because the official evaluators stop at them.

    Examples
    --------
    >>> import tempfile
    >>> clips = pd.DataFrame({
    ...     "path": ["section_00_0001.wav", "section_00_0000.wav"],
    ...     "machine": "fan", "section": "00", "year": 2023,
    ... })
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for path in write_submission(folder, clips, [-1.5, -0.5], [-1, 1]):
    ...         print(path.name, path.read_text().split())
    anomaly_score_fan_section_00_test.csv ['section_00_0000.wav,0.5', 'section_00_0001.wav,1.5']
    decision_result_fan_section_00_test.csv ['section_00_0000.wav,0', 'section_00_0001.wav,1']
    """
    year = submission_year(clips, year)
    columns = needed_columns(year)
    keys = identify_clips(clips, columns)
    scores = check_length(score, "score", len(keys)).astype(np.float64)
    refuse(
        ~np.isfinite(scores),
        keys,
        "have a score of NaN or infinity, at which the official evaluators stop; look for clips "
        "that are silent or broken, or for training that diverged",
    )
    # repr has the digits that give the same float64 when read.
    texts = {SCORE: [repr(-value) for value in scores.tolist()]}
    if decision is not None:
        anomalous = check_labels(check_length(decision, "decision", len(keys)), "decision")
        if year != 2020:  # checked all the same, but that year asked for no decisions
            texts[DECISION] = np.where(anomalous, "1", "0").tolist()
    contents = {
        Path(folder, result_name(kind, year, *group)): (rows["name"] + "," + rows[kind]).tolist()
        for group, rows in keys.assign(**texts).sort_values("name").groupby(columns)
        for kind in texts
    }
    # All checks come first: either all files are written or none.
    _refuse_stale(contents)
    check_free(*(path for path in contents if path.exists()), force=force)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, lines in contents.items():
        with replacing(path) as unfinished:
            # The same bytes on every system.
            unfinished.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")
    return list(contents)


def _refuse_stale(paths: Iterable[Path]) -> None:
    """Refuse to leave decisions of an earlier run beside the scores of this one."""
    partners = {path.with_name(path.name.replace(SCORE, DECISION, 1)) for path in paths}
    stale = sorted(path for path in partners - set(paths) if path.exists())
    if stale:
        raise FileExistsError(
            "Got no decisions, but there are some of an earlier run, which do not belong to these "
            f"scores; remove them, or pass decisions. They are: {name_some(stale, MOST)}."
        )


def read_submission(
    folder: str | os.PathLike[str],
    clips: pd.DataFrame | Iterable[str | os.PathLike[str]] | None = None,
) -> pd.DataFrame:
    r"""Read and check the result files of a folder.

    Parameters
    ----------
    folder : path
        With ``anomaly_score_*.csv`` and maybe ``decision_result_*.csv``, named as
        :func:`write_submission` or the official baseline names them. Other files, and folders
        within, are ignored.
    clips : DataFrame or iterable of paths, default=None
        The expected clips: the clip table of the test clips (if there is a column `split`, its
        rows "test"), or names or paths alone. None does not check this.

    Returns
    -------
    DataFrame
        Sorted by machine, section, domain and name, which are the first columns; `domain` is
        there only if the names of the files have it. Then `score`, with the sign turned back
        (the higher, the more normal), and `decision` (+1 normal, -1 anomalous), if there are
        files of decisions.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no file of scores in it.
    ValueError
        For all problems with the files: names that do not fit or are of different years; lines
        that cannot be read; scores that are NaN or infinite; clips that occur twice, in one file
        or two; clips with a score but no decision if there are decisions, and the reverse;
        missing and unknown clips. All are named, up to a hundred of a kind.

    See Also
    --------
    score_submission : The official score, from the files.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "anomaly_score_fan_id_01.csv")
    ...     _ = path.write_text("id_01_00000000.wav,0.5\nid_01_00000001.wav,2\n")
    ...     print(read_submission(folder))
      machine section                name  score
    0     fan      01  id_01_00000000.wav   -0.5
    1     fan      01  id_01_00000001.wav   -2.0
    """
    scores, decisions = read_files(Path(folder))
    problems = [*find_doubled(scores), *find_doubled(decisions)]
    # Decisions may be left out, but for all clips or for none.
    if not decisions.empty:
        problems += find_differences(
            scores[KEYS], decisions[KEYS], "Without decision", "Without score"
        )
    # Only the names of 2021 have a domain.
    columns = [name for name in KEYS if name != "domain" or scores["domain"].any()]
    if clips is not None:
        problems += find_unexpected(scores[columns], clips)
    raise_problems(folder, problems)
    # Files hold anomaly scores; a detector's scores are higher for normal clips.
    table = scores[KEYS].assign(score=-scores["value"])
    if not decisions.empty:
        table = table.merge(decisions[[*KEYS, "value"]], on=KEYS, validate="one_to_one")
        table["decision"] = np.where(table.pop("value") == 1, -1, 1)
    table = table.sort_values(KEYS, ignore_index=True)
    return table[columns + [name for name in table if name not in KEYS]]


def score_submission(
    folder: str | os.PathLike[str],
    root: str | os.PathLike[str] | pd.DataFrame,
    year: int | None = None,
    ground_truth: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    *,
    n_bootstrap: int = 1000,
) -> pd.DataFrame:
    """Compute the official score from result files and published labels.

    Parameters
    ----------
    folder : path
        The result files.
    root : path or DataFrame
        The evaluation data, as :func:`sklasd.datasets.load_dcase` takes it, or their clip table
        with `path`, `machine`, `section`, `label` and, from 2021 on, `domain` (if there is a
        column `split`, the rows "test").
    year : int, default=None
        2020 to 2026. None takes the year of the clip table.
    ground_truth : path or iterable of paths, default=None
        The published labels, as :func:`sklasd.datasets.load_dcase` takes them. A clip table has
        labels of its own, and takes no others.
    n_bootstrap : int, default=1000
        How often clips are resampled for the confidence intervals; 0 leaves these out.

    Returns
    -------
    DataFrame
        The result of :func:`sklasd.metrics.evaluation_table`. The column `official` of the last row
        is the score, that of :func:`sklasd.metrics.dcase_score`.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist.
    ValueError
        As from :func:`read_submission` and :func:`sklasd.datasets.load_dcase`; if a clip has no
        label; and if clips are of several years.

    Notes
    -----
    The files must hold exactly the test clips of the data, by the names they have in the data. If
    development and evaluation data lie in one folder, name the folder of the latter.

    If a ground truth contradicts itself, as that of 2022 does, the evaluators' own tables decide.
    For the other reading, pass a clip table made by
    ``load_dcase(..., ground_truth_by="names")``.

    Examples
    --------
    >>> import tempfile
    >>> clips = pd.DataFrame({
    ...     "path": ["id_01_00000000.wav", "id_01_00000001.wav"],
    ...     "machine": "fan", "section": "01", "label": [1, -1], "year": 2020,
    ... })
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_submission(folder, clips, [-0.5, -1.5])
    ...     table = score_submission(folder, clips, n_bootstrap=0)
    >>> round(float(table["official"].iloc[-1]), 4)
    1.0
    """
    if not isinstance(root, pd.DataFrame):
        clips = load_dcase(root, year, split="test", ground_truth=ground_truth)
    elif ground_truth is None:
        clips = only_test_clips(root)
    else:
        raise ValueError(
            "Got ground_truth with a clip table; pass the folder of the data instead of the "
            "table, or a table made by load_dcase(..., ground_truth=...)."
        )
    year = submission_year(clips, year)
    keys = identify_clips(clips, needed_columns(year))
    lacking = clips["label"].isna() if "label" in clips else np.ones(len(clips), dtype=bool)
    refuse(lacking, keys, "have no label; pass ground_truth=..., the published labels")
    found = read_submission(folder, clips)
    if "domain" in keys and "domain" not in found:
        raise ValueError(
            "Got result files without a domain in their names, but in 2021 each domain has its "
            "own, ..._source_test.csv and ..._target_test.csv; write them with year=2021, or pass "
            "their true year."
        )
    # In the order of the labels; every clip was found, or read_submission would have refused.
    scored = keys.merge(found, on=list(keys), how="left", validate="one_to_one")
    return evaluation_table(
        clips["label"].astype("int64"),
        scored["score"],
        y_pred=scored.get("decision"),
        machine=keys["machine"],
        section=keys["section"],
        domain=clips.get("domain"),
        year=year,
        n_bootstrap=n_bootstrap,
    )
