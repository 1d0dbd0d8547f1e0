"""Clip tables of any recordings: from a folder tree, or from a manifest."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from sklasd.datasets._clip_manifest import MANIFEST_SUFFIXES, read_manifest
from sklasd.datasets._files import (
    MOST_LISTED,
    SPLITS,
    audio_suffix,
    check_folder,
    finish_table,
    walk_folders,
    warn_left_out,
)
from sklasd.datasets._words import find_label, find_split
from sklasd.utils._lists import name_some


class _Clip(NamedTuple):
    machine: str | None
    split: str | None
    path: str
    label: int | None


def load_clips(root: str | os.PathLike[str], *, anomaly_label: object = None) -> pd.DataFrame:
    """Make a clip table of any recordings from names or a manifest, one row per clip.

    Parameters
    ----------
    root : path
        A folder with sound files at any depth, or a manifest: a CSV or parquet file with a column
        ``path``.
    anomaly_label : object or None
        The value in a manifest's column ``label`` that means anomalous; all others are normal.
        None reads +1 / -1, 0 / 1 (where 1 is anomalous, as DCASE writes it), or words.

    Returns
    -------
    DataFrame
        Columns without any value are absent.

        - ``path``: absolute path of the clip;
        - ``machine``: the folder right below `root`, if there are several whose names state
          neither label nor split;
        - ``split``: "train", "test" or "supplemental"; missing where unknown;
        - ``label``: +1 normal, -1 anomalous, missing where unknown. The type is int64 if no label
          is missing, Int64 otherwise;
        - all other columns of a manifest.

        A folder's clips are sorted by machine, split (train, test, supplemental) and path; those of
        a manifest stay in its order.

    Raises
    ------
    FileNotFoundError
        If `root` does not exist, or clips of a manifest do not.
    NotADirectoryError
        If `root` is a file but no manifest.
    ValueError
        If no sound file is found, or a manifest has no column ``path`` or labels that could mean
        either.
    ImportError
        If a parquet file is given, and no package that reads it is installed.

    Warns
    -----
    UserWarning
        For sound files in formats that are not read, and for clips beside the machines' folders.
        The message names them.

    See Also
    --------
    load_dcase : Data in the layouts of the DCASE Challenge.

    Notes
    -----
    *Words.* "normal", "ok", "good", "healthy" and the like mean normal; "anomaly", "abnormal",
    "fault", "broken", "defect", "bad", "nok" and the like mean anomalous. "train" and "training"
    are the split "train"; "test", "eval" and "validation" are "test", for all held-out
    clips. Only whole words count ("book" is not "ok"), and "not", "no", "non" reverse the next
    word. The file's name counts first, then its folder, and so on up to, but without, `root`. A
    name with words for both is skipped.

    *Unlabelled clips* for training count as normal, as everywhere in sklasd; so do supplemental
    clips. Unlabelled test clips stay unlabelled.

    *Manifest.* Relative paths start at the manifest's folder. The columns ``section, domain,
    split`` are checked. If there is no ``section``, but a column ``id`` with only values such as
    "id_00", the section is read from it. If all labels are 1, all clips could be normal or all
    anomalous: pass `anomaly_label`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ["train/monday.wav", "test/good/7.wav", "test/broken_belt/8.wav"]:
    ...         clip = Path(root, name)
    ...         clip.parent.mkdir(parents=True, exist_ok=True)
    ...         clip.touch()
    ...     table = load_clips(root)
    >>> [Path(path).name for path in table["path"]]
    ['monday.wav', '8.wav', '7.wav']
    >>> table[["split", "label"]]
       split  label
    0  train      1
    1   test     -1
    2   test      1
    """
    path = os.path.expanduser(os.fspath(root))
    if os.path.isfile(path) and path.lower().endswith(MANIFEST_SUFFIXES):
        return finish_table(read_manifest(os.path.abspath(path), anomaly_label))
    if anomaly_label is not None:  # names state labels in words only
        raise ValueError(
            f"Got anomaly_label={anomaly_label!r}, which is for the labels of a manifest, but "
            f"root={path!r} is none ({', '.join(MANIFEST_SUFFIXES)})."
        )
    expected = f"Expected a folder, or a manifest ({', '.join(MANIFEST_SUFFIXES)})."
    folder = check_folder(path, otherwise=expected)
    return finish_table(pd.DataFrame(_scan(folder), columns=_Clip._fields))


def load_files(paths: Sequence[str]) -> pd.DataFrame:
    """Make a clip table of files from the names of files and folders, as `load_clips` does.

    The files need not exist, and keep their order. The folder that contains all of them is the
    root.

    Examples
    --------
    >>> load_files(["data/fan/train/1.wav", "data/pump/test/broken/2.wav"])
                              path machine  split  label
    0         data/fan/train/1.wav     fan  train      1
    1  data/pump/test/broken/2.wav    pump   test     -1
    """
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    root = os.path.commonpath(folders)
    clips = []
    for path, folder in zip(paths, folders, strict=True):
        below = os.path.relpath(folder, root)
        parts = [] if below == os.curdir else below.split(os.sep)
        (clip,) = _read_names(folder, parts, [os.path.basename(path)])
        clips.append(clip._replace(path=path))
    return finish_table(pd.DataFrame(_without_single_machine(clips, root), columns=_Clip._fields))


def _scan(root: str) -> list[_Clip]:
    clips: list[_Clip] = []
    misfits: list[str] = []
    for folder in walk_folders(root):
        misfits += [os.path.join(folder.path, name) for name in folder.misfits]
        below = os.path.relpath(folder.path, root)
        parts = [] if below == os.curdir else below.split(os.sep)
        clips += _read_names(folder.path, parts, folder.clips)
    if not clips:
        raise ValueError(
            f"Found no sound file (.wav, .flac, .ogg, .mp3) in {root!r}"
            + (
                f", only {name_some(misfits, MOST_LISTED)}; convert them first."
                if misfits
                else "; check the path."
            )
        )
    warn_left_out(misfits, len(clips), "have a format that is not read, or are broken links")
    # Clips of a machine stay together, training clips first, clips without a split last.
    order = {name: rank for rank, name in enumerate((*SPLITS, None))}
    clips = _without_single_machine(clips, root)
    return sorted(clips, key=lambda clip: (clip.machine or "", order[clip.split], clip.path))


def _read_names(folder: str, parts: list[str], names: list[str]) -> list[_Clip]:
    """Read label and split of the clips of a folder: a clip's own name wins over its folders'."""
    inner_first = parts[::-1]
    label_of_folder = next(filter(None, map(find_label, inner_first)), None)
    split_of_folder = next(filter(None, map(find_split, inner_first)), None)
    # A folder "train" or "broken" right below the root is no machine.
    is_machine = bool(parts) and not find_label(parts[0]) and not find_split(parts[0])
    machine = parts[0] if is_machine else None
    clips = []
    for name in names:
        stem = name[: -len(audio_suffix(name))]
        split = find_split(stem) or split_of_folder
        label = find_label(stem) or label_of_folder
        if label is None and split in ("train", "supplemental"):
            label = 1  # nobody records faults to train on
        clips.append(_Clip(machine, split, f"{folder}{os.sep}{name}", label))
    return clips


def _without_single_machine(clips: list[_Clip], root: str) -> list[_Clip]:
    """Drop the machine if all clips have the same, or some have none."""
    machines = {clip.machine for clip in clips}
    if len(machines) > 1 and None not in machines:
        return clips
    if len(machines - {None}) > 1:  # half a column would look like clips of no machine
        beside = [clip.path for clip in clips if clip.machine is None]
        warnings.warn(
            f"The table has no column 'machine': {len(beside)} clips are in none of the machines' "
            f"folders in {root!r}: {name_some(beside, MOST_LISTED)}.",
            stacklevel=4,
        )
    return [clip._replace(machine=None) for clip in clips]
