"""Recognise the year of DCASE Task 2 data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from sklasd.clips._sound_file import BadClipError, read_header
from sklasd.datasets._dcase_names import find_year, hides_attributes, shown_attributes

YEARS = range(2020, 2027)
_WITH_SECTIONS = frozenset(YEARS) - {2020}
_DEV_2022 = "bearing fan gearbox slider valve ToyCar ToyTrain"
_MACHINES = {
    2021: "fan gearbox pump slider valve ToyCar ToyTrain",
    2022: _DEV_2022,
    2023: f"{_DEV_2022} bandsaw grinder shaker ToyDrone ToyNscale ToyTank Vacuum",
    2024: f"{_DEV_2022} 3DPrinter AirCompressor BrushlessMotor HairDryer HoveringDrone RoboticArm "
    "Scanner ToothBrush ToyCircuit",
    2025: f"{_DEV_2022} AutoTrash BandSealer CoffeeGrinder HomeCamera Polisher ScrewFeeder ToyPet "
    "ToyRCCar",
    2026: "ToyCar ToyCarEmu bearingEmu fan gearboxEmu sliderEmu valveEmu BlowerDustCollector "
    "Sander SewingMachine ToothBrush ToyDrone",
}
_HIDING = {
    2024: "gearbox slider ToyTrain AirCompressor BrushlessMotor HoveringDrone ToothBrush",
    2025: "bearing slider ToyTrain AutoTrash Polisher ScrewFeeder ToyPet",
}
_YEARS_OF_MACHINE = {
    machine: frozenset(year for year, names in _MACHINES.items() if machine in names.split())
    for machine in " ".join(_MACHINES.values()).split()
}
_YEARS_HIDING_MACHINE = {
    # It is not known which machines hide attributes in 2026: that year fits either way.
    machine: frozenset(year for year, names in _HIDING.items() if machine in names.split()) | {2026}
    for machine in _YEARS_OF_MACHINE
}


class Clue(NamedTuple):
    """Years that fit an observation, and its weight."""

    years: frozenset[int]
    weight: int = 1


def recognise_year(clips: pd.DataFrame, folder: str) -> int:
    """Return the year of clips that are named by section, which means 2021 or later.

    Every clue votes for the years that it fits. Among the years with most votes, one in the
    folder's path wins, and otherwise the earliest: the official evaluation is the same from 2022
    on. `clips` has the columns of `_dcase._scan`, with attributes as written in the names.
    """
    votes = dict.fromkeys(sorted(_WITH_SECTIONS), 0)
    for clue in _clues(clips):
        for year in clue.years:
            votes[year] += clue.weight
    # A clue can be wrong, such as a missing folder; a majority of clues hardly ever is.
    best = [year for year, count in votes.items() if count == max(votes.values())]
    stated = find_year(folder.split(os.sep))
    return stated if stated in best else best[0]


def _clues(clips: pd.DataFrame) -> Iterator[Clue]:
    for machine in clips["machine"].unique():
        yield Clue(_YEARS_OF_MACHINE.get(machine, frozenset()))
    # From 2023 on a machine has a single section; before, its zip file has three.
    before_2023 = frozenset({2021, 2022})
    many = (clips["section"] != "00").any()
    yield Clue(before_2023 if many else _WITH_SECTIONS - before_2023)
    # The other clues are what the organisers changed from year to year.
    yield from _supplement_clues(clips)
    yield from _channel_clues(clips["path"].iloc[0])
    named = clips[clips["split"] != "supplemental"]
    yield from _test_clues(named[named["split"] == "test"])
    yield from _train_clues(named[named["split"] == "train"])
    yield from _attribute_clues(named)


def _supplement_clues(clips: pd.DataFrame) -> Iterator[Clue]:
    if (clips["split"] == "supplemental").any():
        yield Clue(frozenset({2025, 2026}), weight=4)
    elif (clips["split"] == "train").any():
        yield Clue(_WITH_SECTIONS - {2025})  # packed with the training clips that year


def _channel_clues(path: str) -> Iterator[Clue]:
    try:
        n_channels = read_header(path).n_channels
    except BadClipError:
        return
    stereo = frozenset({2026})  # a near and a far microphone
    yield Clue(stereo if n_channels == 2 else _WITH_SECTIONS - stereo, weight=3)


def _test_clues(clips: pd.DataFrame) -> Iterator[Clue]:
    if clips.empty:
        return
    anonymous = clips["label"].isna()
    # 2021 has a folder for each domain, which anonymous names contain, and no attributes.
    domains_apart = clips["folder_domain"].notna() | (anonymous & clips["domain"].notna())
    bare = ~anonymous & clips["attributes"].isna()
    if domains_apart.any() or bare.any():
        yield Clue(frozenset({2021}), weight=3)
    else:
        yield Clue(_WITH_SECTIONS - {2021}, weight=3)


def _train_clues(clips: pd.DataFrame) -> Iterator[Clue]:
    # A section has 1000 source and 3 target clips in 2021, 990 and 10 later, counted from 0.
    if clips.empty:
        return
    number = clips["key"].str[-4:].astype(int)
    target = clips["domain"] == "target"
    if (number[~target] >= 990).any():
        yield Clue(frozenset({2021}))
    if (number[target] >= 3).any():
        yield Clue(_WITH_SECTIONS - {2021})


def _attribute_clues(clips: pd.DataFrame) -> Iterator[Clue]:
    seen = clips[["machine", "attributes"]].dropna().drop_duplicates()
    hidden = seen["attributes"].map(hides_attributes).astype(bool)
    for machine in seen.loc[hidden, "machine"].unique():
        yield Clue(_YEARS_HIDING_MACHINE.get(machine, frozenset()), weight=2)
    shown = seen["attributes"].map(shown_attributes) != ""
    for machine in seen.loc[shown, "machine"].unique():
        hiding = _YEARS_HIDING_MACHINE.get(machine, frozenset())
        yield Clue(_WITH_SECTIONS - (hiding - {2026}), weight=2)
