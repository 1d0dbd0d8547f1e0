"""Information about a clip in its DCASE Task 2 file name and the folders around it."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from sklasd.datasets._files import audio_suffix

# 2021-2026. Everything between section and number is optional: evaluation names are anonymous,
# with or without the word "test", and those of 2021 still contain the domain.
_SECTION = re.compile(
    r"(section_(\d\d)_(?:(source|target)_)?(?:(train|test)_)?(?:(normal|anomaly)_)?\d{4,})(?:_(.*))?"
)
# 2020.
_ID = re.compile(r"((?:(normal|anomaly)_)?id_(\d\d)_\d{4,})")
# 2025 on. No two sources agree on the order of the words, so only substrings are looked for.
_SUPPLEMENT = re.compile(r"section_(\d\d)_(.*?)\d{4,}(?:_(.*))?")
_SUPPLEMENT_WORD = re.compile(r"machine|noise|supplement")

# Split and domain of a folder's clips, by its name. The official baseline copies evaluation clips
# to "test_rename", under their full names.
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
    """Information in a file name; None where it has none."""

    key: str  # the name without attributes, by which tables refer to the clip
    section: str  # two digits; the machine id in 2020
    domain: str | None  # "source" or "target"
    split: str | None  # "train", "test" or "supplemental"
    label: int | None  # 1 or -1
    attributes: str | None  # as written; None if the name ends with its number


class Place(NamedTuple):
    """Information in the folders around a clip; None where they have none."""

    machine: str
    split: str | None
    domain: str | None
    year: int | None


def clip_stem(name: str) -> str:
    """Remove folders and suffix from a file name in a table.

    Values of attributes contain dots, so only the suffix of a sound file is removed.

    Examples
    --------
    >>> clip_stem("fan/train/section_00_0000_vel_1.5.wav"), clip_stem("section_00_0000_vel_1.5")
    ('section_00_0000_vel_1.5', 'section_00_0000_vel_1.5')
    """
    name = name.replace("\\", "/").rpartition("/")[2]
    return name[: len(name) - len(audio_suffix(name))]


def parse_clip_name(stem: str, *, supplemental: bool = False) -> ClipName | None:
    """Read a DCASE file name of any year, without folder and suffix; None if it fits no pattern.

    `supplemental` means that the clip is in a folder of supplemental clips.

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
        # Only evaluation test clips are published without their condition.
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
    shown = "_".join(filter(None, [kind, shown_attributes(attributes)]))
    # None of these clips has an anomaly; the official names call even the noise "normal".
    return ClipName(stem, section, domain, "supplemental", 1, shown or _HIDDEN)


def shown_attributes(attributes: str | None) -> str:
    """Return the key_value pairs of a name, "" if they are hidden or missing.

    Examples
    --------
    >>> shown_attributes("car_A2_spd_28V_"), shown_attributes("noAttribute")
    ('car_A2_spd_28V', '')
    """
    return (attributes or "").strip("_").removesuffix(_HIDDEN).strip("_")


def hides_attributes(attributes: str | None) -> bool:
    """Return whether a name states that its attributes are withheld."""
    return attributes is not None and attributes.strip("_").endswith(_HIDDEN)


def find_place(folder: str, root: str) -> Place:
    """Read machine, split, domain and year from the names of folders, `root` and below.

    Folders above `root` can name the machine (if `root` is the folder of a split), but neither
    split nor year.
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
    """Return the year in the innermost folder that has one, such as "dcase2024t2" or "2024".

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
    """Remove copies of others from a machine's folders, and return a line about them for a warning.

    The official baseline's download merges the tests of 2021 into ``test``, and copies evaluation
    clips to ``test_rename`` under their full names. The fullest names are kept, or else the
    original folders.
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
    return f"{' and '.join(copied)} (the same clips are in {' and '.join(kept)})"
