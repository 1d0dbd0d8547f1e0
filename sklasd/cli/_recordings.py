"""Recordings of the command line: files, folders and manifests as one clip table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from sklasd.base._unwrap import find_groups
from sklasd.datasets._any_folder import read_table
from sklasd.datasets._clip_folder import load_files
from sklasd.datasets._clip_manifest import MANIFEST_SUFFIXES
from sklasd.datasets._files import audio_suffix


def read_recordings(recordings: list[Path]) -> pd.DataFrame:
    """List clips, each once, with the columns that folders and manifests give them."""
    tables, files = [], []
    for recording in recordings:
        is_manifest = recording.suffix.lower() in MANIFEST_SUFFIXES
        # A missing file is named as a recording if it ends like one, and as a folder otherwise.
        if not is_manifest and (recording.is_file() or audio_suffix(recording.name)):
            files.append(str(recording))
        else:
            tables.append(read_table(recording))
    if files:
        tables.append(load_files(files))
    clips = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    # A folder and a file in it may both be named.
    again = clips["path"].map(os.path.abspath).duplicated()
    return clips[~again].reset_index(drop=True)


def assign_machines(model: Any, clips: pd.DataFrame, machine: str | None) -> pd.DataFrame:
    """Set each clip's machine, for a model of several machines.

    It is that of --machine, or that of the folder or manifest, or else the nearest folder around
    the clip that has a machine's name.

    Raises
    ------
    ValueError
        For a machine that the model lacks, and for clips without any.
    """
    names = _machines(model)
    if not names:
        if machine is not None:
            raise ValueError(f"Got --machine {machine}, but the model has no machines by name.")
        return clips
    if machine is not None:
        if machine not in names:
            raise ValueError(f"Got --machine {machine}; the model has {', '.join(names)}.")
        return clips.assign(machine=machine)  # even where a folder or manifest says otherwise
    # A manifest may name the machine of some clips only: folders fill the gaps.
    by_folder = clips["path"].map(lambda path: _machine_of(path, names))
    found = clips["machine"].fillna(by_folder) if "machine" in clips else by_folder
    if others := sorted(set(found.dropna()) - set(names)):
        raise ValueError(
            f"Got clips of {', '.join(others)}, but the model has {', '.join(names)}; train on "
            "normal clips of all, or name the clips' machine by --machine."
        )
    if found.isna().any():
        path = clips.loc[found.isna(), "path"].iloc[0]
        raise ValueError(
            f"Got {found.isna().sum()} clips without a machine, such as {path}; put them in "
            f"folders named {', '.join(names)}, or name their machine by --machine."
        )
    return clips.assign(machine=found)


def _machines(model: Any) -> list[str]:
    """List the machines of a model of several, or nothing."""
    grouped = find_groups(model)
    if grouped is None or grouped.by != "machine":
        return []
    return [str(name) for name in grouped.estimators_]


def _machine_of(path: str, names: list[str]) -> str | None:
    folders = Path(path).absolute().parts[-2::-1]  # the innermost first
    return next((name for name in folders if name in names), None)
