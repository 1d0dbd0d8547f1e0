"""The result files that DCASE Task 2 asks for: written, checked, and scored from the files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklasd.datasets import load_dcase
from sklasd.metrics import evaluation_table
from sklasd.metrics._scored_clips import check_labels
from sklasd.submission._names import (
    DECISION,
    SCORE,
    check_length,
    find_year,
    identify_clips,
    lay_out,
    list_clips,
    needed_columns,
    refuse_stale,
)
from sklasd.submission._reader import (
    KEYS,
    check_labelled,
    compare,
    find_doubled,
    find_unexpected,
    join_scores,
    only_test_clips,
    raise_problems,
    read_files,
)
from sklasd.utils._output import check_free, replacing

__all__ = ["read_submission", "score_submission", "write_submission"]


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
        What the detector's `score_samples` returns: the higher, the more normal. In the files
        is the anomaly score, minus this.
    decision : array-like of shape (n_clips,), default=None
        What `predict` returns: +1 normal, -1 anomalous. In the files this is 0 and 1. None
        writes no decisions. In 2020 there are no files for them.
    year : int, default=None
        2020 to 2026. None takes that of `clips`.
    force : bool, default=False
        Overwrite files of the same names. Other files are never touched.

    Returns
    -------
    list of Path
        The files, by machine, section and domain.

    Raises
    ------
    TypeError
        If `clips` is no table.
    ValueError
        If columns are missing, a clip has no name or place in the files or is there twice; if
        lengths differ; if scores are not finite, or decisions neither +1 nor -1.
    FileExistsError
        For a file that is there; nothing has been written then. Also, even with `force`, for
        decisions of an earlier run beside scores that now come without.

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
    year = find_year(clips, year)
    columns = needed_columns(year)
    known = identify_clips(clips, columns)
    known = known.assign(score=[repr(float(v)) for v in -_check_scores(score, known)])
    if decision is not None:
        anomalous = check_labels(check_length(decision, "decision", len(known)), "decision")
        known["decision"] = np.where(anomalous, "1", "0")
    contents = lay_out(known, columns, year, Path(folder))
    refuse_stale(contents)
    check_free(*(path for path in contents if path.exists()), force=force)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, lines in contents.items():
        with replacing(path) as unfinished:
            unfinished.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")
    return list(contents)


def read_submission(
    folder: str | os.PathLike[str],
    clips: pd.DataFrame | Iterable[str | os.PathLike[str]] | None = None,
) -> pd.DataFrame:
    r"""Read the result files of a folder, having checked them.

    Parameters
    ----------
    folder : path
        With ``anomaly_score_*.csv`` and maybe ``decision_result_*.csv``, named as
        :func:`write_submission` or the official baseline names them. Other files, and folders
        within, are passed over.
    clips : DataFrame or iterable of paths, default=None
        The clips that there should be: the clip table of the test clips (of a table with
        `split`, the rows "test"), or names or paths alone. None does not check this.

    Returns
    -------
    DataFrame
        Sorted by machine, section, domain and name, which are the first columns; `domain` is
        there only if the names of the files tell it. Then `score`, with the sign turned back
        (the higher, the more normal), and `decision` (+1 normal, -1 anomalous), if there are
        files of decisions.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no file of scores in it.
    ValueError
        For all that is wrong with the files: names that do not fit or of different years; lines
        that cannot be read; scores that are NaN or infinite; clips that are there twice, in one
        file or two; clips with a score but no decision where there are decisions, and the
        reverse; missing and unknown clips. All are named, up to a hundred of a kind.

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
    tables = read_files(Path(folder))
    scores, decisions = tables[SCORE], tables[DECISION]
    problems = [*find_doubled(scores), *find_doubled(decisions)]
    if not decisions.empty:
        problems += compare(scores[KEYS], decisions[KEYS], "Without decision", "Without score")
    columns = [name for name in KEYS if name != "domain" or scores["domain"].any()]
    if clips is not None:
        problems += find_unexpected(scores[columns], clips)
    raise_problems(folder, problems)
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
        with `path`, `machine`, `section`, `label` and, from 2021 on, `domain` (of a table with
        `split`, the rows "test").
    year : int, default=None
        2020 to 2026. None takes that of the clip table.
    ground_truth : path or iterable of paths, default=None
        Where the published labels lie, as :func:`sklasd.datasets.load_dcase` takes it. Not to be
        given with a clip table.
    n_bootstrap : int, default=1000
        How often clips are resampled for the confidence intervals; 0 leaves these out.

    Returns
    -------
    DataFrame
        What :func:`sklasd.metrics.evaluation_table` gives. The column `official` of the last row
        is the score, that of :func:`sklasd.metrics.dcase_score`.

    Raises
    ------
    FileNotFoundError
        If a folder is not there.
    ValueError
        As from :func:`read_submission` and :func:`sklasd.datasets.load_dcase`, and if a clip has
        no label.

    Notes
    -----
    Exactly the test clips of the data must be in the files, under the names they have in the
    data. Where development and evaluation data lie in one folder, name the latter's.

    Where a ground truth contradicts itself, as that of 2022 does, the tables decide by which the
    evaluators score. For the other reading, pass a clip table that was made by
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
    year = find_year(clips, year)
    known = identify_clips(clips, needed_columns(year))
    check_labelled(clips, known)
    scored = join_scores(known, read_submission(folder, clips))
    return evaluation_table(
        clips["label"].astype("int64"),
        scored["score"],
        y_pred=scored.get("decision"),
        machine=known["machine"],
        section=known["section"],
        domain=clips.get("domain"),
        year=year,
        n_bootstrap=n_bootstrap,
    )


def _check_scores(score: ArrayLike, known: pd.DataFrame) -> NDArray[np.float64]:
    values = check_length(score, "score", len(known)).astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"Got score with NaN or infinity for {bad.sum()} clips, but the official evaluator "
            "takes finite numbers only; look for clips that are silent or broken, or for training "
            f"that diverged. They are: {list_clips(known[bad])}."
        )
    return values
