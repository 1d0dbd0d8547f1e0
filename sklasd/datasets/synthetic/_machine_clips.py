"""Make sounds of synthetic machines, in memory or as the files of a DCASE year."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklasd.datasets.synthetic._dcase_writer import DCASEWriter
from sklasd.datasets.synthetic._machine_sounds import Region
from sklasd.datasets.synthetic._studio import FAULTS, Plan, Studio, plan_clips
from sklasd.utils._seeds import draw_seed

#: The machines, and the faults that fit each.
MACHINE_FAULTS: dict[str, tuple[str, ...]] = {
    machine: tuple(faults) for machine, faults in FAULTS.items()
}

# The shortest clip holds two strokes of the valve and a cycle of the slider.
_MIN_DURATION = 1.0
# Leaks hiss up to 7 kHz.
_MIN_SAMPLE_RATE = 16000


class MachineClips(NamedTuple):
    """Clips of machines, and their table.

    Parameters
    ----------
    waveforms : ndarray of shape (n_clips, n_samples), float32
        The sounds, full scale at 1.
    table : DataFrame with n_clips rows
        The clip table; see :func:`make_machine_clips` for its columns.
    """

    waveforms: npt.NDArray[np.float32]
    table: pd.DataFrame


def _check_faults(machine: str, faults: Sequence[str] | None) -> tuple[str, ...]:
    """Return the faults to cycle through; None means all that fit the machine."""
    fitting = MACHINE_FAULTS[machine]
    if faults is None:
        return fitting
    if len(faults) == 0:
        raise ValueError(
            f"Got faults={faults!r}, expected at least one of {list(fitting)}; pass None for "
            f"all that fit machine={machine!r}, or n_anomalies=0 for none."
        )
    unfit = [fault for fault in faults if fault not in fitting]
    if unfit:
        raise ValueError(
            f"Got faults={list(faults)!r}, but machine={machine!r} cannot have {unfit}; choose "
            f"among {list(fitting)} or take another machine."
        )
    return tuple(faults)


def _check_recording(duration: float, sample_rate: int) -> None:
    if duration < _MIN_DURATION:
        raise ValueError(
            f"Got duration={duration} s, expected at least {_MIN_DURATION} s, in which every "
            "machine does a whole cycle; ask for longer clips."
        )
    if sample_rate < _MIN_SAMPLE_RATE:
        raise ValueError(
            f"Got sample_rate={sample_rate} Hz, expected at least {_MIN_SAMPLE_RATE} Hz, as "
            f"faults sound up to 7 kHz; make clips at {_MIN_SAMPLE_RATE} Hz and resample them."
        )


def _check_layout(year: int, target_share: float, n_supplemental: int) -> None:
    """Check that the file names of a year can express the clips."""
    if year == 2020 and target_share > 0:
        raise ValueError(
            f"Got target_share={target_share} with year=2020, but the file names of that year "
            "have no domains; pass year=2021 or later."
        )
    if year < 2025 and n_supplemental > 0:
        raise ValueError(
            f"Got n_supplemental={n_supplemental} with year={year}, but supplemental clips came "
            "with 2025; pass year=2025 or later."
        )


def _make_table(plans: Sequence[Plan], studio: Studio, year: int) -> pd.DataFrame:
    """Return the clip table, except for what the recording adds."""
    return pd.DataFrame(
        {
            "machine": [studio.kind] * len(plans),
            "section": [f"{plan.section:02d}" for plan in plans],
            "domain": [plan.domain for plan in plans],
            "split": [plan.split for plan in plans],
            "label": [plan.label for plan in plans],
            "attributes": [studio.attributes(plan) for plan in plans],
            "year": [year] * len(plans),
            # In a column of strings, pandas would turn None into NaN.
            "fault": pd.Series([plan.fault for plan in plans], dtype=object),
            "severity": [studio.severity if plan.fault else 0.0 for plan in plans],
        }
    )


def _record_all(
    studio: Studio, plans: Sequence[Plan], writer: DCASEWriter | None
) -> tuple[npt.NDArray[np.float32], list[list[Region]]]:
    """Record the near channel of each clip; write all of its channels if there is a writer."""
    waveforms = np.empty((len(plans), studio.n_samples), dtype=np.float32)
    regions = []
    for row, plan in enumerate(plans):
        clip, boxes = studio.record(plan)
        waveforms[row] = clip[0]
        regions.append(boxes)
        if writer is not None:
            writer.write(row, clip)
    return waveforms, regions


@validate_params(
    {
        "machine": [StrOptions(set(MACHINE_FAULTS))],
        "n_train": [Interval(Integral, 0, None, closed="left")],
        "n_test": [Interval(Integral, 0, None, closed="left")],
        "n_anomalies": [Interval(Integral, 0, None, closed="left")],
        "faults": [list, tuple, None],
        "severity": [Interval(Real, 0, None, closed="left")],
        "n_sections": [Interval(Integral, 1, 100, closed="both")],
        "target_share": [Interval(Real, 0, 1, closed="both")],
        "duration": [Interval(Real, 0, None, closed="neither")],
        "sample_rate": [Interval(Integral, 1, None, closed="left")],
        "root": [str, os.PathLike, None],
        "year": [Interval(Integral, 2020, 2026, closed="both")],
        "n_supplemental": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_machine_clips(
    machine: str = "fan",
    *,
    n_train: int = 60,
    n_test: int = 20,
    n_anomalies: int = 20,
    faults: Sequence[str] | None = None,
    severity: float = 1.0,
    n_sections: int = 1,
    target_share: float = 0.0,
    duration: float = 10.0,
    sample_rate: int = 16000,
    root: str | os.PathLike[str] | None = None,
    year: int = 2020,
    n_supplemental: int = 0,
    random_state: int | np.random.RandomState | None = None,
) -> MachineClips:
    """Make sounds of machines, healthy and faulty, and return where the faults are.

    A machine is the sum of its parts (turning shafts, meshing teeth, rolling balls, flow, strokes)
    in the noise of a factory. Each clip is recorded with another gain. A section is an individual
    machine with its own speed, resonances and tooth counts. No two clips are alike: the machine
    runs at one of several speeds and loads, a little off and slowly drifting. An anomalous clip
    has one fault:

    ==================  ======================  ==================================================
    fault               machines                sound
    ==================  ======================  ==================================================
    ``bearing_defect``  rotating ones           impacts at the ball-pass frequency of the outer
                                                race, through a resonance of the housing
    ``imbalance``       rotating ones           the tone at the turning frequency is another
    ``looseness``       rotating ones, slider   orders and half orders of the turning frequency;
                                                the slider rattles after each reversal
    ``rubbing``         fan, bearing, slider    a band of noise in bursts: once per turn, for a
                                                part of the clip; the slider's where it passes a
                                                damaged spot of the rail
    ``leak``            pump, valve             hiss for a part of the clip; the valve's while it
                                                is shut
    ``missing_tooth``   gearbox                 once per turn of the wheel the mesh lets go, then
                                                slams
    ``stuck_valve``     valve                   some strokes come late or not at all
    ==================  ======================  ==================================================

    The rotating machines are fan, pump, gearbox and bearing.

    Parameters
    ----------
    machine : {"fan", "pump", "gearbox", "bearing", "slider", "valve"}, default="fan"
        Kind of machine.
    n_train : int, default=60
        Normal training clips per section.
    n_test : int, default=20
        Normal test clips per section.
    n_anomalies : int, default=20
        Anomalous test clips per section.
    faults : list of str, default=None
        Faults that the anomalous clips of each section and domain have in turn. None takes all
        that fit the machine.
    severity : float, default=1.0
        Severity of the faults, proportional to their amplitude (for the stuck valve, more strokes
        stick). At 0 anomalous clips sound normal. At 1 an autoencoder finds many but not all, and
        loudness hardly differs.
    n_sections : int, default=1
        Individual machines, at most 100.
    target_share : float, default=0.0
        Share of clips of the target domain, in training and in test: at other speeds and loads,
        and in the noise of another factory.
    duration : float, default=10.0
        Length of the clips in s, at least 1.
    sample_rate : int, default=16000
        Points per second, at least 16000.
    root : path, default=None
        Folder to write the clips into, in the layout of a DCASE year. None writes no files.
    year : int, default=2020
        DCASE year, from 2020 to 2026.
    n_supplemental : int, default=0
        Supplemental clips per section: the factory without the machine.
    random_state : int, RandomState instance or None, default=None
        Seed. With an int, a clip sounds the same whatever the counts; None makes other clips each
        time.

    Returns
    -------
    waveforms : ndarray of shape (n_clips, n_samples), float32
        The sounds, full scale at 1; of stereo clips the near channel. Files round it to 16 bits.
    table : DataFrame
        One row per clip with ``path`` (if `root` is given), ``machine``, ``section``,
        ``domain``, ``split``, ``label`` (+1 normal, -1 anomalous), ``attributes`` (such as
        ``"speed_3000_load_1_noise_A"``, speed in turns or strokes per minute), ``year``,
        ``fault`` (name or None), ``severity`` and ``regions``: where the fault is, as a list of
        boxes (t_start, t_end, f_low, f_high) in s and Hz, empty for normal clips.

    Raises
    ------
    ValueError
        If a fault does not fit the machine, clips are too short, their sample rate is too low, or
        the file names of the year have no domains or supplemental clips.
    FileExistsError
        If a file exists; none is overwritten.

    Notes
    -----
    A fault is added to (or taken from) the healthy clip, with random numbers of its own. The same
    call with ``severity=0`` gives the same clips without faults, and the difference is the fault
    alone. The boxes contain most of the energy of this difference. They have 20 ms and 25 Hz of
    slack, so that the same is true in a spectrogram with windows of 64 ms. The box of a stroke that
    a stuck valve leaves out is where the stroke should have been.

    The files are WAV with 16 bits: mono, from 2026 on stereo, with the second microphone further
    from the machine. From 2022 on each section has an ``attributes_NN.csv``.

    Examples
    --------
    >>> from sklasd.datasets import make_machine_clips
    >>> waveforms, table = make_machine_clips(
    ...     "valve", n_train=3, n_test=1, n_anomalies=2, duration=2.0, random_state=0
    ... )
    >>> waveforms.shape
    (6, 32000)
    >>> table["fault"].tolist()
    [None, None, None, None, 'stuck_valve', 'leak']
    >>> table.loc[4, "attributes"]
    'speed_135_load_1_noise_A'
    >>> [round(edge, 1) for edge in table.loc[4, "regions"][0]]
    [1.3, 1.5, 787.4, 6386.0]
    """
    faults = _check_faults(machine, faults)
    _check_recording(duration, sample_rate)
    if root is not None:
        _check_layout(year, target_share, n_supplemental)
    counts = {
        ("train", 1): n_train,
        ("test", 1): n_test,
        ("test", -1): n_anomalies,
        ("supplemental", 1): n_supplemental,
    }
    plans = plan_clips(n_sections, counts, faults, target_share)
    studio = Studio(
        kind=machine,
        severity=float(severity),
        n_samples=round(duration * sample_rate),
        sample_rate=sample_rate,
        # The second microphone, new in 2026, is only in the files: waveforms have one channel.
        n_channels=2 if root is not None and year >= 2026 else 1,
        n_sections=n_sections,
        entropy=draw_seed(random_state),
    )
    table = _make_table(plans, studio, year)
    # Made first, as it refuses to overwrite files, and recording takes long.
    writer = None if root is None else DCASEWriter(root, table, sample_rate)
    waveforms, regions = _record_all(studio, plans, writer)
    table["regions"] = pd.Series(regions, dtype=object)
    if writer is not None:
        writer.write_attributes()  # last, so that they list no clip that is missing
        table.insert(0, "path", [str(path) for path in writer.paths])
    return MachineClips(waveforms, table)
