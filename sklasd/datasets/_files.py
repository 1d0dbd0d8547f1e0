"""Find sound files, read their headers, finish a clip table: for all loaders."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sklasd.clips._clip_error import clip_name
from sklasd.clips._sound_file import BadClipError, read_header
from sklasd.utils._lists import name_some

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
# Sound that is not read deserves a warning, unlike a README or a table beside the clips.
_OTHER_SOUND = re.compile(r".*\.(?:aac|aiff?|amr|au|caf|m4a|mp4|opus|raw|w64|wma)", re.IGNORECASE)
_UNFINISHED = (".part", ".crdownload", ".tmp")
SPLITS = ("train", "test", "supplemental")
COLUMNS = ("path", "machine", "section", "domain", "split", "label", "attributes", "year")
MOST_LISTED = 100  # files in a warning: a user wants to look at all of some dozens


class Folder(NamedTuple):
    """Contents of one folder, each list in sorted order."""

    path: str
    subfolders: list[str]
    clips: list[str]
    tables: list[str]
    misfits: list[str]


def audio_suffix(name: str) -> str:
    """Return the suffix of a sound file as it is written in the name, or "" for any other file."""
    dot = name.rfind(".")
    return name[dot:] if dot > 0 and name[dot:].lower() in AUDIO_SUFFIXES else ""


def check_folder(root: str | os.PathLike[str], *, otherwise: str) -> str:
    """Return the absolute path of a folder; `otherwise` is the remedy for a file."""
    folder = os.path.abspath(os.path.expanduser(os.fspath(root)))
    if not os.path.exists(folder):
        raise FileNotFoundError(
            f"Got root={os.fspath(root)!r}, but there is no folder {folder!r}; "
            "check the spelling, or pass an absolute path."
        )
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"Got root={os.fspath(root)!r}, which is a file. {otherwise}")
    return folder


def walk_folders(root: str) -> Iterator[Folder]:
    """Yield the folders of a tree, top down, each with its entries in sorted order.

    After all folders, yield one for each link to a clip. Links come last, so that each file is
    found once, by its own name if it has one below `root`. A link back up, or to what was found
    without it, is left out with a warning. Hidden files and folders are ignored. A caller may
    remove names from ``subfolders`` to leave them out. A folder that cannot be read is an error.
    """
    seen: set[str] = set()  # real paths of folders, and of clips that links lead to
    clip_links: list[str] = []
    left_out: list[str] = []
    folder_links = [root]
    for link in folder_links:  # links below links are appended on the way
        for path, subfolders, names in os.walk(link, onerror=_raise):
            real = os.path.realpath(path)
            if real in seen:
                left_out.append(path)
                subfolders.clear()
                continue
            folder, links = _sort_names(path, subfolders, names)
            seen.add(real)
            clip_links += [os.path.join(path, name) for name in links]
            yield folder
            for below in (os.path.join(path, name) for name in subfolders):
                if os.path.islink(below):  # os.walk does not follow it
                    leads_up = Path(real).is_relative_to(os.path.realpath(below))
                    (left_out if leads_up else folder_links).append(below)
    for path in clip_links:
        real = os.path.realpath(path)
        above, name = os.path.split(real)
        if real in seen or (above in seen and audio_suffix(name) and not _is_hidden(name)):
            left_out.append(path)
        else:
            seen.add(real)
            yield Folder(os.path.dirname(path), [], [os.path.basename(path)], [], [])
    if left_out:
        warnings.warn(
            f"{len(left_out)} links lead back up, or to what is read without them, and are left "
            "out; if their folders name split or label, move what they lead to "
            f"out of {root!r}: {name_some(left_out, MOST_LISTED)}.",
            stacklevel=4,
        )


def _raise(error: OSError) -> None:
    raise error


def _sort_names(path: str, subfolders: list[str], names: list[str]) -> tuple[Folder, list[str]]:
    """Return what is in a folder, and the names of links to clips; change `subfolders` in place."""
    subfolders[:] = sorted(name for name in subfolders if not _is_hidden(name))
    folder = Folder(path, subfolders, [], [], [])
    links: list[str] = []
    with os.scandir(path) as entries:  # entries know whether they are links, without a stat
        by_name = {entry.name: entry for entry in entries}
    for name in sorted(names):
        if _is_hidden(name):
            continue
        if audio_suffix(name):
            if by_name[name].is_file(follow_symlinks=False):
                folder.clips.append(name)
            else:  # a link to nowhere and a pipe have the name of a clip, too
                is_clip = os.path.islink(by_name[name]) and os.path.isfile(by_name[name])
                (links if is_clip else folder.misfits).append(name)
        elif name.lower().endswith(".csv"):
            folder.tables.append(name)
        elif _OTHER_SOUND.fullmatch(name) or _is_unfinished(name):
            folder.misfits.append(name)
    return folder, links


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # which macOS packs into zip files


def _is_unfinished(name: str) -> bool:
    stem, suffix = os.path.splitext(name.lower())
    return suffix in _UNFINISHED and audio_suffix(stem) != ""


def warn_left_out(misfits: list[str], n_clips: int, reason: str) -> None:
    """Name in one warning all files that a table leaves out; `reason` goes on "12 files ..."."""
    if misfits:
        warnings.warn(
            f"{len(misfits)} of {len(misfits) + n_clips} sound files {reason}, and are left out: "
            + name_some(misfits, MOST_LISTED),
            stacklevel=4,
        )


def finish_table(table: pd.DataFrame) -> pd.DataFrame:
    """Bring a clip table to its contract.

    DCASE's columns come first, in a fixed order, without empty ones. Labels are int64, or nullable
    Int64 if some are missing. Rows are numbered anew.
    """
    filled = [name for name in COLUMNS if name in table and table[name].notna().any()]
    others = [name for name in table.columns if name not in COLUMNS]
    table = table[filled + others].reset_index(drop=True)
    if "label" in filled:
        table["label"] = table["label"].astype("int64" if table["label"].notna().all() else "Int64")
    return table


def read_headers(
    paths: Iterable[str | os.PathLike[str]],
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Read the headers of sound files: ``duration`` in s, ``sample_rate`` in Hz, ``channels``.

    Rows are numbered by the position of the file. Files whose header is wrong have no row, but a
    sentence in the second result, by position.
    """
    headers, bad = {}, {}
    for index, path in enumerate(paths):
        try:
            rate, n_channels, n_frames = read_header(os.fspath(path))
            headers[index] = (n_frames / rate, rate, n_channels)
        except BadClipError as reason:
            bad[index] = f"{clip_name(index, path)} {reason}."
    columns = ["duration", "sample_rate", "channels"]
    table = pd.DataFrame.from_dict(headers, orient="index", columns=columns)
    types = {"duration": "float64", "sample_rate": "int64", "channels": "int64"}
    return table.astype(types), bad
