"""What a DCASE Task 2 file name and the folder around it say of a clip."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from sklasd.datasets._files import audio_suffix

# 2021-2026. Everything between section and number is optional: evaluation names are anonymous,
# with or without the word "test", and those of 2021 still tell the domain.
_SECTION = re.compile(
    r"(section_(\d\d)_(?:(source|target)_)?(?:(train|test)_)?(?:(normal|anomaly)_)?\d{4,})(?:_(.*))?"
)
# 2020.
_ID = re.compile(r"((?:(normal|anomaly)_)?id_(\d\d)_\d{4,})")
# 2025 on. No two sources agree on the order of the words, so only substrings are looked for.
_SUPPLEMENT = re.compile(r"section_(\d\d)_(.*?)\d{4,}(?:_(.*))?")
_SUPPLEMENT_WORD = re.compile(r"machine|noise|supplement")

# Folder names, and the split and domain of what lies there. "test_rename" is where the official
# baseline puts its copies of the evaluation clips, with their full names.
_SPLIT_FOLDERS = {
    "train": ("train", None),
    "test": ("test", None),
    "test_rename": ("test", None),
    "source_test": ("test", "source"),
    "target_test": ("test", "target"),
    "supplemental": ("supplemental", None),
}
_INNER_FOLDER = re.compile(r"(?:id|section)_\d\d", re.IGNORECASE)
_YEAR_FOLDER = re.compile(r"dcase[\s_-]*(202[0-6])(?!\d)|^(202[0-6])$", re.IGNORECASE)
_LABELS = {"normal": 1, "anomaly": -1}
_HIDDEN = "noAttribute"


class ClipName(NamedTuple):
    """What a file name says; None where it says nothing.

    Parameters
    ----------
    key : str
        The name without attributes, by which tables refer to the clip.
    section : str
        Two digits; the machine id in 2020.
    domain : {"source", "target"} or None
        The domain of the recording.
    split : {"train", "test", "supplemental"} or None
        The part of the data set.
    label : {1, -1} or None
        Normal or anomalous.
    attributes : str or None
        As written: may be empty or "noAttribute". None where the name ends with its number.
    """

    key: str
    section: str
    domain: str | None
    split: str | None
    label: int | None
    attributes: str | None


class Place(NamedTuple):
    """What the folders around a clip say; None where they say nothing."""

    machine: str
    split: str | None
    domain: str | None
    year: int | None


def clip_stem(name: str) -> str:
    """Cut the folders and the suffix off a file name as tables write it.

    Values of attributes contain dots, so that only a sound file's suffix is one.

    Examples
    --------
    >>> clip_stem("fan/train/section_00_0000_vel_1.5.wav"), clip_stem("section_00_0000_vel_1.5")
    ('section_00_0000_vel_1.5', 'section_00_0000_vel_1.5')
    """
    name = name.replace("\\", "/").rpartition("/")[2]
    return name[: len(name) - len(audio_suffix(name))]


def parse_clip_name(stem: str, *, supplemental: bool = False) -> ClipName | None:
    """Read a DCASE file name of any year.

    Parameters
    ----------
    stem : str
        The name without folder and suffix.
    supplemental : bool
        Whether it lies in a folder of supplemental clips.

    Returns
    -------
    ClipName or None
        None where the name fits no pattern.

    Examples
    --------
    >>> parse_clip_name("section_00_target_test_anomaly_0012_vel_12_loc_B")[1:]
    ('00', 'target', 'test', -1, 'vel_12_loc_B')
    >>> parse_clip_name("section_03_0007")[1:]
    ('03', None, 'test', None, None)
    >>> parse_clip_name("anomaly_id_04_00000017")[1:]
    ('04', None, None, -1, None)
    >>> parse_clip_name("holiday_song") is None
    True
    """
    if supplemental:
        return _parse_supplement(stem)
    match = _SECTION.fullmatch(stem)
    if match:
        key, section, domain, split, word, attributes = match.groups()
        # Only evaluation test clips are published without a word on their condition.
        split = split or (None if word else "test")
        return ClipName(key, section, domain, split, _LABELS.get(word), attributes)
    match = _ID.fullmatch(stem)
    if match:
        key, word, section = match.groups()
        return ClipName(key, section, None, None if word else "test", _LABELS.get(word), None)
    return _parse_supplement(stem) if _SUPPLEMENT_WORD.search(stem) else None


def _parse_supplement(stem: str) -> ClipName | None:
    match = _SUPPLEMENT.fullmatch(stem)
    if match is None:
        return None
    section, words, attributes = match.groups()
    kind = next((word for word in ("machine", "noise") if word in words), "")
    domain = next((word for word in ("source", "target") if word in words), None)
    said = "_".join(filter(None, [kind, shown_attributes(attributes)]))
    # None of these clips holds an anomaly; the official names call even the noise "normal".
    return ClipName(stem, section, domain, "supplemental", 1, said or _HIDDEN)


def shown_attributes(attributes: str | None) -> str:
    """Return the key_value pairs of a name, "" where they are hidden or missing.

    Examples
    --------
    >>> shown_attributes("car_A2_spd_28V_"), shown_attributes("noAttribute")
    ('car_A2_spd_28V', '')
    """
    return (attributes or "").strip("_").removesuffix(_HIDDEN).strip("_")


def hides_attributes(attributes: str | None) -> bool:
    """Whether a name says that its attributes are withheld."""
    return attributes is not None and attributes.strip("_").endswith(_HIDDEN)


def find_place(folder: str, root: str) -> Place:
    """Read machine, split, domain and year off the folders around a clip.

    Parameters
    ----------
    folder, root : str
        Absolute paths; `folder` is `root` or lies below. What is above `root` can name the
        machine (where `root` itself is a split's folder), but neither split nor year.

    Returns
    -------
    Place
        The machine is the folder above the split's folder, or the clip's own folder.
    """
    parts = folder.split(os.sep)
    n_above = len(root.split(os.sep)) - 1
    while len(parts) > 2 and _INNER_FOLDER.fullmatch(parts[-1]):
        parts.pop()
    year = find_year(parts[n_above:])
    if parts[-1].lower() in _SPLIT_FOLDERS:
        return Place(parts[-2], *_SPLIT_FOLDERS[parts[-1].lower()], year)
    # Some keep <split>/<machine> instead of <machine>/<split>.
    above = [part.lower() for part in reversed(parts[n_above:-1])]
    split, domain = next((_SPLIT_FOLDERS[p] for p in above if p in _SPLIT_FOLDERS), (None, None))
    return Place(parts[-1], split, domain, year)


def find_year(parts: list[str]) -> int | None:
    """Return the year that the innermost of some folder names states, as "dcase2024t2" or "2024".

    Examples
    --------
    >>> find_year(["data", "dcase2024t2", "dev_data", "raw", "fan"]), find_year(["fan_2024_05"])
    (2024, None)
    """
    for part in reversed(parts):
        match = _YEAR_FOLDER.search(part)
        if match:
            return int(match[1] or match[2])
    return None


def drop_copies(subfolders: list[str]) -> str | None:
    """Remove from a machine's folders those of which another holds copies.

    The official baseline's download merges the tests of 2021 into ``test``, and copies evaluation
    clips to ``test_rename`` under their full names. The fullest names and the original folders win.

    Parameters
    ----------
    subfolders : list of str
        Changed in place.

    Returns
    -------
    str or None
        What was removed and why, for a warning.
    """
    names = {name.lower(): name for name in subfolders}
    domains = [names[name] for name in ("source_test", "target_test") if name in names]
    kept, copied = domains, [names["test"]] if "test" in names else []
    if "test_rename" in names:
        kept, copied = [names["test_rename"]], copied + domains
    if not kept or not copied:
        return None
    for name in copied:
        subfolders.remove(name)
    return f"{' and '.join(copied)} (the same clips lie in {' and '.join(kept)})"
