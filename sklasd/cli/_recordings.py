"""Recordings of the command line: files, folders and manifests as one clip table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from sklasd.datasets._any_folder import read_table
from sklasd.datasets._clip_folder import load_files
from sklasd.datasets._clip_manifest import MANIFEST_SUFFIXES
from sklasd.datasets._files import audio_suffix
from sklasd.detectors._grouped import find_groups


def read_recordings(recordings: list[Path]) -> pd.DataFrame:
    """List clips, each once, with what folders and manifests tell of them."""
    tables, files = [], []
    for recording in recordings:
        is_manifest = recording.suffix.lower() in MANIFEST_SUFFIXES
        if not is_manifest and (recording.is_file() or audio_suffix(recording.name)):
            files.append(str(recording))
        else:
            tables.append(read_table(recording))  # which says so where there is nothing
    if files:
        tables.append(load_files(files))
    clips = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    again = clips["path"].map(os.path.abspath).duplicated()
    return clips[~again].reset_index(drop=True)


def assign_machines(model: Any, clips: pd.DataFrame, machine: str | None) -> pd.DataFrame:
    """Tell a model of several machines which one each clip is of.

    It is what was said, what the folder or manifest says, or else the nearest folder around the
    clip that has a machine's name.

    Raises
    ------
    ValueError
        When a machine is named that the model does not know, or where none is to be known by.
    """
    known = _machines(model)
    if not known:
        if machine is not None:
            raise ValueError(f"Got --machine {machine}, but the model knows no machines by name.")
        return clips
    if machine is not None:
        if machine not in known:
            raise ValueError(f"Got --machine {machine}; the model knows {', '.join(known)}.")
        return clips.assign(machine=machine)
    by_folder = clips["path"].map(lambda path: _machine_of(path, known))
    told = clips["machine"].fillna(by_folder) if "machine" in clips else by_folder
    if others := sorted(set(told.dropna()) - set(known)):
        raise ValueError(
            f"Got clips of {', '.join(others)}, but the model knows {', '.join(known)}; train on "
            "normal clips of all, or say by --machine which one it is."
        )
    if told.isna().any():
        path = clips.loc[told.isna(), "path"].iloc[0]
        raise ValueError(
            f"Got {told.isna().sum()} clips of which the machine is not known, such as {path}; put "
            f"them in folders named {', '.join(known)}, or say which by --machine."
        )
    return clips.assign(machine=told)


def _machines(model: Any) -> list[str]:
    """List the machines that a model knows by name, of which there may be none."""
    if isinstance(model, dict):
        return [str(name) for name in model]
    grouped = find_groups(model)
    return (
        [str(name) for name in grouped.estimators_] if grouped and grouped.by == "machine" else []
    )


def _machine_of(path: str, known: list[str]) -> str | None:
    folders = Path(path).absolute().parts[-2::-1]
    return next((name for name in folders if name in known), None)
