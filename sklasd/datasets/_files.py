"""What the loaders share: finding sound files, reading their headers, finishing a clip table."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd
import soundfile

from sklasd.clips._waveforms import ClipError, clip_name

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
# Sound that is not read: worth a word to the user, unlike a README or a table beside the clips.
_OTHER_SOUND = re.compile(r".*\.(?:aac|aiff?|amr|au|caf|m4a|mp4|opus|raw|w64|wma)", re.IGNORECASE)
_UNFINISHED = (".part", ".crdownload", ".tmp")
SPLITS = ("train", "test", "supplemental")
COLUMNS = ("path", "machine", "section", "domain", "split", "label", "attributes", "year")
_MAX_LISTED = 100


class Folder(NamedTuple):
    """What lies in one folder, each list in sorted order."""

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
    """Return the absolute path of a folder, or say why it is none.

    Parameters
    ----------
    root : path
        What the user gave.
    otherwise : str
        The remedy for a path that is a file.
    """
    folder = os.path.abspath(os.path.expanduser(os.fspath(root)))
    if not os.path.exists(folder):
        raise FileNotFoundError(
            f"Got root={os.fspath(root)!r}, but there is no folder {folder!r}; "
            "check the spelling, or pass an absolute path."
        )
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"Got root={os.fspath(root)!r}, which is a file. {otherwise}")
    return folder


def walk_folders(root: str, above: tuple[str, ...] = ()) -> Iterator[Folder]:
    """Go through a folder tree, top down and in sorted order.

    Links are followed, except those that lead back to a folder further up. Hidden files and
    folders (and what macOS packs beside them) are passed over. A caller may remove entries from
    ``subfolders`` to leave them out. Unlike `os.walk`, a folder that cannot be read is an error.

    Parameters
    ----------
    root : str
        Absolute path.
    above : tuple of str
        The real paths of the folders that led here.

    Yields
    ------
    Folder
        One for each folder, also those without clips.
    """
    real = os.path.realpath(root)
    if real in above:
        return
    folder = _list_folder(root)
    yield folder
    for name in folder.subfolders:
        yield from walk_folders(os.path.join(root, name), (*above, real))


def _list_folder(path: str) -> Folder:
    folder = Folder(path, [], [], [], [])
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name == "__MACOSX":
                continue
            if entry.is_dir():
                folder.subfolders.append(name)
            elif audio_suffix(name):
                # A link to nowhere has a clip's name, but no clip behind it.
                (folder.clips if entry.is_file() else folder.misfits).append(name)
            elif name.lower().endswith(".csv"):
                folder.tables.append(name)
            elif _OTHER_SOUND.fullmatch(name) or _is_unfinished(name):
                folder.misfits.append(name)
    for names in folder[1:]:
        names.sort()
    return folder


def _is_unfinished(name: str) -> bool:
    stem, suffix = os.path.splitext(name.lower())
    return suffix in _UNFINISHED and audio_suffix(stem) != ""


def warn_left_out(misfits: list[str], n_clips: int, reason: str) -> None:
    """Name in one warning every file that is left out of a table.

    Parameters
    ----------
    misfits : list of str
        Paths.
    n_clips : int
        Number of clips that are in the table.
    reason : str
        What is wrong with the files, as the rest of a sentence about them.
    """
    if misfits:
        warnings.warn(
            f"{len(misfits)} of {len(misfits) + n_clips} sound files {reason}, and are left out: "
            + shorten(misfits),
            stacklevel=4,
        )


def shorten(items: Iterable[object]) -> str:
    """Join what a message lists, and count what is too much to read."""
    listed = [str(item) for item in items]
    rest = len(listed) - _MAX_LISTED
    return ", ".join(listed[:_MAX_LISTED]) + (f", ... and {rest} more" if rest > 0 else "")


def finish_table(table: pd.DataFrame) -> pd.DataFrame:
    """Bring a clip table to its contract.

    Known columns come first, in a fixed order; those that hold nothing are removed. Labels are
    plain int64 where all are known, and nullable Int64 where some are not. Rows are numbered anew.
    """
    known = [name for name in COLUMNS if name in table and table[name].notna().any()]
    others = [name for name in table.columns if name not in COLUMNS]
    table = table[known + others].reset_index(drop=True)
    if "label" in known:
        table["label"] = table["label"].astype("int64" if table["label"].notna().all() else "Int64")
    return table


def audio_headers(paths: Iterable[str | os.PathLike[str]]) -> pd.DataFrame:
    """Read the headers of sound files, and nothing else of them.

    Parameters
    ----------
    paths : iterable of paths
        Sound files.

    Returns
    -------
    DataFrame
        One row for each path, in the same order: ``duration`` in seconds, ``sample_rate`` in Hz,
        ``channels``.

    Raises
    ------
    ClipError
        If headers cannot be read; names every such file.
    """
    headers, bad = [], {}
    for index, path in enumerate(paths):
        try:
            info = soundfile.info(os.fspath(path))
            headers.append((info.duration, info.samplerate, info.channels))
        except (soundfile.SoundFileError, OSError) as error:
            bad[index] = f"{clip_name(index, path)} has no readable header: {error}"
    if bad:
        raise ClipError(len(headers) + len(bad), bad)
    table = pd.DataFrame(headers, columns=["duration", "sample_rate", "channels"])
    return table.astype({"duration": "float64", "sample_rate": "int64", "channels": "int64"})
