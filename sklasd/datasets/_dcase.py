"""DCASE Challenge Task 2 data of 2020 to 2026 as clip tables."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

import pandas as pd

from sklasd.datasets._dcase_names import (
    Place,
    clip_stem,
    drop_copies,
    find_place,
    parse_clip_name,
)
from sklasd.datasets._dcase_truth import READINGS, AnyPath, Truth, add_attributes, read_truth
from sklasd.datasets._dcase_years import YEARS, recognise_year
from sklasd.datasets._files import (
    MOST_LISTED,
    SPLITS,
    Folder,
    check_folder,
    finish_table,
    walk_folders,
    warn_left_out,
)
from sklasd.utils._lists import name_some

_SCANNED = (
    *("machine", "split", "name", "path", "section", "domain", "label", "attributes"),
    *("key", "folder_domain", "folder_year"),
)


class NotDCASEError(ValueError):
    """A folder without any clip that is named as DCASE names its clips."""


def load_dcase(
    root: str | os.PathLike[str],
    year: int | None = None,
    machines: str | Iterable[str] | None = None,
    split: str | Iterable[str] | None = None,
    *,
    ground_truth: AnyPath | Iterable[AnyPath] | None = None,
    ground_truth_by: str = "tables",
) -> pd.DataFrame:
    """Make a clip table of DCASE Task 2 data from 2020 to 2026, one row per clip.

    Development, additional training and evaluation data are read as they come out of their zip
    files. Folder and file names contain all information; no sound is read. (The header of one clip
    shows whether it is one of the stereo clips of 2026.)

    Parameters
    ----------
    root : path
        A folder at any level: of one machine, of several machines, or of several unpacked zip
        files.
    year : int or None
        2020 to 2026. None recognises the year. If names of folders below `root` state years (such
        as ``dcase2023t2`` or ``2023``), `year` selects among them.
    machines : str, iterable of str or None
        Machine types to keep. None keeps all.
    split : {"train", "test", "supplemental"}, iterable of these or None
        Parts to keep. None keeps all.
    ground_truth : path, iterable of paths or None
        The published labels of evaluation clips: CSV files, or folders with several. See Notes for
        the formats.
    ground_truth_by : {"tables", "names"}, default="tables"
        What to use for a machine whose ground truth contradicts itself: the tables of 0 and 1 that
        the official evaluator reads, or the full names of the clips. See Notes.

    Returns
    -------
    DataFrame
        Sorted by machine, split (train, test, supplemental) and file name. Columns:

        - ``path``: absolute path of the clip;
        - ``machine``: machine type;
        - ``section``: two digits; the machine id in 2020;
        - ``domain``: "source" or "target"; missing where unknown (anonymous evaluation clips,
          supplemental noise);
        - ``split``: "train", "test" or "supplemental";
        - ``label``: +1 normal, -1 anomalous, missing where unknown. The type is int64 where all
          are known, Int64 otherwise;
        - ``attributes``: DCASE's key_value string; "" where hidden or unknown. Supplemental clips
          have "machine" or "noise" in front;
        - ``year``: the challenge's year.

        Columns without any value are absent, such as ``domain`` in 2020, or ``label`` of
        evaluation test clips alone.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If `root` or `ground_truth` do not exist, or `root` is a file.
    ValueError
        If no clip is found; if there is no such year, machine or split; if a clip is found twice;
        if the ground truth fits no clip, or its tables or its names contradict each other.

    Warns
    -----
    UserWarning
        Once for all sound files that fit no pattern; once for all folders with copies; once for
        all machines for which tables and names of the ground truth disagree. The message names
        them.

    See Also
    --------
    load_clips : Any other recordings.

    Notes
    -----
    *Year.* Names with ``id_NN`` are of 2020; a test folder, or an anonymous name, for each domain
    is of 2021. Machine types, sections, supplemental clips, hidden attributes, numbers of clips,
    and stereo clips (2026) distinguish the other years. If several remain, a year in the folder's
    path decides, and otherwise the earliest is taken. For example, the fan alone is the same in the
    development sets of 2023 and 2024, and is read as 2023. The official evaluation is the same
    from 2022 on.

    *Supplemental clips* count as normal: they contain the clean machine or only noise, never an
    anomaly. But they are no training clips, and have a split of their own.

    *Copies.* The official baseline merges the tests of 2021 in ``test``, and copies evaluation
    clips to ``test_rename`` under their full names. Copies are left out, with a warning: clips with
    the fullest names, or else in the original folders, are kept. It is an error if two other clips
    have the same machine, split, year and name (without suffix).

    *Ground truth* of anonymous clips is read in these formats: ``eval_data_list.csv`` of 2020 (a
    line with the machine type; then anonymous name, full name, label);
    ``eval_data_list_<year>.csv`` of the official baseline (the same without the label, which the
    full names contain); the evaluator's ``ground_truth_<machine>_section_NN_[<domain>_]test.csv``
    (name and 0 or 1, where 1 is anomalous, or target in a folder ``ground_truth_domain``) and
    ``ground_truth_attributes`` (anonymous and full names). It never overwrites what file names
    contain. Attributes that were hidden at first and published later are filled in, too. In
    ``attributes_*_correspondence.csv`` the full name comes first. The second name is the released
    one, with another number.

    The ground truth of 2022 contradicts itself for ToyCar and ToyTrain: about half of the labels in
    the evaluator's ``ground_truth_data`` differ from those in the full names of its
    ``ground_truth_attributes``, which were published later and agree with the baseline's list. It
    is unknown which of them fit the recordings. The published results use the former, and so does
    `load_dcase` by default, with a warning. For such machines labels, domains and attributes are
    taken from one side alone: with ``ground_truth_by="tables"`` nothing in the names is used. A
    list given alone is used without a warning, and leads to other scores than the evaluator's.

    References
    ----------
    .. [1] Y. Koizumi et al., "Description and Discussion on DCASE2020 Challenge Task2:
       Unsupervised Anomalous Sound Detection for Machine Condition Monitoring", DCASE Workshop,
       2020.
    .. [2] K. Dohi et al., "Description and Discussion on DCASE 2023 Challenge Task 2: First-Shot
       Unsupervised Anomalous Sound Detection for Machine Condition Monitoring", DCASE Workshop,
       2023.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in [
    ...         "fan/train/section_00_source_train_normal_0000_m-n_W.wav",
    ...         "fan/test/section_00_source_test_normal_0000_m-n_W.wav",
    ...         "fan/test/section_00_target_test_anomaly_0001_m-n_X.wav",
    ...     ]:
    ...         clip = Path(root, name)
    ...         clip.parent.mkdir(parents=True, exist_ok=True)
    ...         clip.touch()
    ...     table = load_dcase(root)
    >>> print(table.drop(columns="path").to_string())
      machine section  domain  split  label attributes  year
    0     fan      00  source  train      1      m-n_W  2023
    1     fan      00  source   test      1      m-n_W  2023
    2     fan      00  target   test     -1      m-n_X  2023
    """
    if year is not None and year not in YEARS:
        raise ValueError(f"Got year={year!r}; expected one of {list(YEARS)}, or None.")
    if ground_truth_by not in READINGS:
        raise ValueError(
            f"Got ground_truth_by={ground_truth_by!r}; expected {' or '.join(map(repr, READINGS))}."
        )
    folder = check_folder(root, otherwise="Unpack a zip file, and pass the folder.")
    clips, tables = _scan(folder)
    clips = clips.assign(year=_find_years(clips, folder, year))
    if year is not None:
        clips = _keep(clips, "year", [year], folder)
    clips = _keep(clips, "machine", machines, folder)
    clips = _keep(clips, "split", split, folder)
    _check_duplicates(clips)
    clips = clips.assign(attributes=add_attributes(clips, tables))
    if ground_truth is not None:
        clips = _join_truth(clips, ground_truth, ground_truth_by)
    if (clips["year"] == 2020).all():  # names of that year have no attributes
        clips = clips.drop(columns="attributes")
    return finish_table(clips.drop(columns=["name", "key", "folder_domain", "folder_year"]))


def _scan(root: str) -> tuple[pd.DataFrame, list[str]]:
    """Find clips, in the order of the table, and attribute tables below a folder."""
    rows: list[tuple[object, ...]] = []
    misfits: list[str] = []
    tables: list[str] = []
    copies: list[str] = []
    for folder in walk_folders(root):
        copied = drop_copies(folder.subfolders)  # so that the walk does not enter them
        copies += [os.path.join(folder.path, copied)] if copied else []
        tables += [
            os.path.join(folder.path, name)
            for name in folder.tables
            if name.lower().startswith("attributes")
        ]
        _read_names(folder, find_place(folder.path, root), rows, misfits)
    if not rows:
        raise NotDCASEError(_nothing_found(root, misfits))
    if copies:
        warnings.warn(f"Left out folders that contain copies: {name_some(copies)}.", stacklevel=3)
    warn_left_out(misfits, len(rows), "fit no DCASE name, or are neither in train nor in test")
    # Clips of a machine stay together, training clips before test clips.
    order = {name: rank for rank, name in enumerate(SPLITS)}
    rows.sort(key=lambda row: (row[0], order[str(row[1])], *row[2:4]))
    return pd.DataFrame(rows, columns=list(_SCANNED)), tables


def _read_names(
    folder: Folder, place: Place, rows: list[tuple[object, ...]], misfits: list[str]
) -> None:
    misfits += [os.path.join(folder.path, name) for name in folder.misfits]
    supplemental = place.split == "supplemental"
    for name in folder.clips:
        path = f"{folder.path}{os.sep}{name}"
        stem = clip_stem(name)
        clip = parse_clip_name(stem, supplemental=supplemental)
        split = (clip.split or place.split) if clip else None
        if clip is None or split is None:
            misfits.append(path)
            continue
        # Training clips are normal by definition, even if their names are anonymous.
        label = 1 if clip.label is None and split == "train" else clip.label
        domain = clip.domain or place.domain
        row = (place.machine, split, stem, path, clip.section, domain, label, clip.attributes)
        rows.append((*row, clip.key, place.domain, place.year))


def _nothing_found(root: str, misfits: list[str]) -> str:
    expected = "expected such as <machine>/train/*.wav, named as DCASE names them"
    if not misfits:
        return f"Found no sound file in {root!r}; {expected}. Unpack zip files first."
    return (
        f"None of the {len(misfits)} sound files in {root!r} fits a DCASE name ({expected}); "
        f"for other recordings use load_clips. Found: {name_some(misfits, MOST_LISTED)}."
    )


def _find_years(clips: pd.DataFrame, root: str, year: int | None) -> pd.Series:
    """Return the year of each clip: from its name or folder, else as given, else recognised."""
    stated = clips["folder_year"].astype("float64")
    years = stated.where(stated > 2020)  # a folder "2020" says nothing about names by section
    years[~clips["key"].str.startswith("section_")] = 2020
    unknown = years.isna()
    if unknown.any():
        given = year not in (None, 2020)  # names of 2020 are not unknown
        years[unknown] = year if given else recognise_year(clips[unknown], root)
    return years.astype("int64")


def _keep(
    clips: pd.DataFrame, column: str, wanted: str | Iterable[object] | None, root: str
) -> pd.DataFrame:
    """Select rows by the values of a column; each value must occur."""
    if wanted is None:
        return clips
    values = [wanted] if isinstance(wanted, str) else list(wanted)
    there = sorted(clips[column].unique().tolist())
    if not values or not set(values) <= set(there):
        name = "machines" if column == "machine" else column
        raise ValueError(f"Got {name}={wanted!r}, but {root!r} has {there}; choose from these.")
    return clips[clips[column].isin(values)]


def _check_duplicates(clips: pd.DataFrame) -> None:
    # Twice the same clip in training and test would make a detector look perfect.
    again = clips.duplicated(["year", "machine", "split", "name"], keep=False)
    if again.any():
        raise ValueError(
            f"{again.sum()} files are clips found more than once. Keep one copy of each (the newer "
            "one where a zip file was replaced, as `_r2`), or pass the folder of one copy. Found: "
            f"{name_some(clips.loc[again, 'path'], MOST_LISTED)}."
        )


def _join_truth(clips: pd.DataFrame, given: AnyPath | Iterable[AnyPath], by: str) -> pd.DataFrame:
    """Fill in what file names do not contain from a published ground truth."""
    paths = [os.fspath(p) for p in ([given] if isinstance(given, str | os.PathLike) else given)]
    truth = read_truth(paths, clips, by)
    keys = zip(clips["machine"], clips["key"], strict=True)
    found = pd.DataFrame([truth.get(key, Truth()) for key in keys], index=clips.index)
    unlabelled = clips["label"].isna()
    # Names of anonymous clips return every year: labels of none of them mean the wrong year.
    if unlabelled.any() and found.loc[unlabelled, "label"].isna().all():
        raise ValueError(
            f"Got ground_truth={', '.join(map(repr, paths))}, which has no label for any of the "
            f"{unlabelled.sum()} clips without one, such as "
            f"{clips.loc[unlabelled, 'path'].iloc[0]!r}; pass that of the same year "
            f"({clips['year'].unique().tolist()})."
        )
    return clips.assign(
        label=clips["label"].where(~unlabelled, found["label"]),
        domain=clips["domain"].where(clips["domain"].notna(), found["domain"]),
        attributes=clips["attributes"].where(clips["attributes"] != "", found["attributes"]),
    )
