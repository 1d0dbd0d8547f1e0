"""What the loaders share: finding sound files, reading their headers, finishing a clip table."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from sklasd.clips._clip_error import clip_name
from sklasd.clips._sound_file import BadClipError, read_header

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


def walk_folders(root: str) -> Iterator[Folder]:
    """Go through a folder tree, top down, each folder's entries in sorted order.

    Links are followed after all else, so that no file comes twice: a link back up, or to what is
    read without it, is passed over with a warning. Hidden files and folders (and what macOS packs
    beside them) are passed over. A caller may remove entries from ``subfolders`` to leave them out.
    Unlike `os.walk`, a folder that cannot be read is an error.

    Parameters
    ----------
    root : str
        Absolute path.

    Yields
    ------
    Folder
        One for each folder, also those without clips; another one for those with links to clips.
    """
    walk = _Walk({}, [root], [], [])
    for path in walk.folder_links:  # which grows
        yield from walk.below(path, os.path.realpath(path))
    for folder, names in walk.clip_links:
        yield Folder(folder, [], [name for name in names if walk.is_new(folder, name)], [], [])
    if walk.passed_over:
        warnings.warn(
            f"{len(walk.passed_over)} links lead back up, or to what is read without them, and are "
            "passed over; where it is their own folders that tell split or label, move what they "
            f"lead to out of {root!r}: {shorten(walk.passed_over)}.",
            stacklevel=4,
        )


class _Walk(NamedTuple):
    """What is known on the way through a folder tree."""

    clips: dict[str, set[str]]  # names by the real path of their folder
    folder_links: list[str]
    clip_links: list[tuple[str, list[str]]]  # of each folder that has some
    passed_over: list[str]

    def below(self, path: str, real: str) -> Iterator[Folder]:
        """Go through a folder and all below it, and take note of links."""
        if real in self.clips:
            self.passed_over.append(path)
            return
        folder, links = _list_folder(path)
        self.clips[real] = set(folder.clips)
        if links:
            self.clip_links.append((path, links))
        yield folder
        for name in folder.subfolders:
            below = os.path.join(path, name)
            if not os.path.islink(below):
                yield from self.below(below, os.path.join(real, name))
            elif os.path.join(real, "").startswith(os.path.join(os.path.realpath(below), "")):
                self.passed_over.append(below)  # it leads back up
            else:
                self.folder_links.append(below)

    def is_new(self, folder: str, name: str) -> bool:
        """Tell whether a link leads to a clip that was not met yet."""
        path = os.path.join(folder, name)
        above, target = os.path.split(os.path.realpath(path))
        met = self.clips.setdefault(above, set())
        if target in met:
            self.passed_over.append(path)
            return False
        met.add(target)
        return True


def _list_folder(path: str) -> tuple[Folder, list[str]]:
    """Return what lies in a folder, and the names of links to clips."""
    folder = Folder(path, [], [], [], [])
    links: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            name, is_link = entry.name, entry.is_symlink()
            if name.startswith(".") or name == "__MACOSX":
                continue
            # An entry asked itself fails where links go round in a ring.
            if os.path.isdir(entry.path) if is_link else entry.is_dir():
                folder.subfolders.append(name)
            elif audio_suffix(name):
                # A link to nowhere has a clip's name, but no clip behind it.
                there = links if is_link else folder.clips
                is_file = os.path.isfile(entry.path) if is_link else entry.is_file()
                (there if is_file else folder.misfits).append(name)
            elif name.lower().endswith(".csv"):
                folder.tables.append(name)
            elif _OTHER_SOUND.fullmatch(name) or _is_unfinished(name):
                folder.misfits.append(name)
    for names in (*folder[1:], links):
        names.sort()
    return folder, links


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


def read_headers(
    paths: Iterable[str | os.PathLike[str]],
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Read the headers of sound files, and nothing else of them.

    Parameters
    ----------
    paths : iterable of paths
        Sound files.

    Returns
    -------
    headers : DataFrame
        One row for each file with a header that can be true, numbered by its position: ``duration``
        in seconds, ``sample_rate`` in Hz, ``channels``.
    bad : dict of int to str
        What is wrong with each other file, by its position.
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
