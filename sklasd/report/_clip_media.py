"""Pictures, sounds and true faults of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sklasd.base._unwrap import clip_format
from sklasd.features import LogMel
from sklasd.fusion._maps import MapShapeError
from sklasd.inspection import InspectedClip, inspect_clips
from sklasd.inspection._inspect_clips import NoOnePictureError
from sklasd.report._picture import (
    Box,
    Tick,
    encode_picture,
    frame_faults,
    frequency_ticks,
    time_ticks,
)
from sklasd.report._sound import Sound, encode_sound
from sklasd.report._true_faults import brightness_inside

_LONGEST = 30.0  # s of a clip that the report holds
_NEARLY_ALL = 0.99  # share of a clip that needs no mention of the rest
_THROUGHOUT = 0.4  # of the time holds half of the map; if the map is even, it is 0.5


@dataclass(frozen=True)
class ClipMedia:
    """Pictures and sounds of a clip, or of the most anomalous part of a long one.

    Parameters
    ----------
    first, seconds, total : float
        Begin and length of the part, and length of the clip, in s.
    left, width : float
        Begin and width of the pictures as shares of the part: their outer columns may reach beyond
        the sound.
    spectrogram, unit : str
        A data URI, and the unit of the values.
    anomaly_map, map_unit : str
        The same for the anomaly map; empty if the detector has none.
    sound, anomaly : Sound or None
        The clip, and what the map marks of it.
    times, frequencies : list of Tick
        Labels of the axes.
    faults : list of Box
        True faults, where the clip table has their regions.
    says : str
        Where the map is brightest, for readers who do not see it; or why there is none.
    """

    first: float
    seconds: float
    total: float
    left: float
    width: float
    spectrogram: str
    unit: str
    anomaly_map: str
    map_unit: str
    sound: Sound | None
    anomaly: Sound | None
    times: list[Tick]
    frequencies: list[Tick]
    faults: list[Box]
    says: str

    @property
    def is_excerpt(self) -> bool:
        """Whether the clip is longer than the part."""
        return self.seconds < _NEARLY_ALL * self.total

    @property
    def excerpt_text(self) -> str:
        """Which part of the clip it is, in words."""
        end = self.first + self.seconds
        return f"{self.first:.0f} to {end:.0f} s of {self.total:.0f} s, the most anomalous part"


def make_media(model: Any, clips: pd.DataFrame) -> list[ClipMedia]:
    """Make pictures and sounds of some clips of a model.

    A column `regions` has the true faults.
    """
    if clips.empty:
        return []
    # A normal clip has NaN there in a table that was merged or read from a file.
    column = clips["regions"] if "regions" in clips else [None] * len(clips)
    regions = [each if isinstance(each, list | tuple) else [] for each in column]
    inspected, reason = _inspect(model, clips)
    return [_make(clip, faults, reason) for clip, faults in zip(inspected, regions, strict=True)]


def _inspect(model: Any, clips: pd.DataFrame) -> tuple[list[InspectedClip], str]:
    """Inspect clips, and say why maps are missing if they are."""
    try:
        inspected = inspect_clips(model, clips)
        if all(clip.times is not None for clip in inspected):
            return inspected, "the detector cannot tell where a clip is unusual"
        reason = "the detector's features are no picture with axes"
    except (NoOnePictureError, MapShapeError) as error:
        reason = str(error)
    # A spectrogram of the report's own, of the sound as the model reads it: a reader still wants to
    # look at and listen to the worst clips.
    form = clip_format(model)
    front_end = LogMel(sample_rate=form.sample_rate, channel=form.channel, max_duration=None)
    return inspect_clips(front_end.fit(clips), clips), reason


def _make(clip: InspectedClip, regions: Any, reason: str) -> ClipMedia:
    """Make the media of a clip, whose map may be missing for a reason."""
    times, frequencies = clip.times, clip.frequencies
    assert times is not None
    assert frequencies is not None
    assert clip.clip_format is not None
    step = float(times[1] - times[0]) if len(times) > 1 else 1.0
    part = _pick_part(clip.anomaly_map, len(times), max(1, int(_LONGEST / step)))
    # `times` are centres: the picture begins half a column before the first one.
    start, end = float(times[part.start]) - step / 2, float(times[part.stop - 1]) + step / 2
    first = max(0.0, start)  # of the sound; nothing can be played before 0 s
    wave, rate = clip.waveform(), clip.clip_format.sample_rate
    total = len(wave) / rate
    seconds = min(end, total) - first
    where = None if clip.anomaly_map is None else clip.anomaly_map[:, part]

    def cut(whole: np.ndarray) -> np.ndarray:
        return whole[round(first * rate) : round((first + seconds) * rate)]

    return ClipMedia(
        first, seconds, total,
        left=(start - first) / seconds,
        width=(end - start) / seconds,
        spectrogram=encode_picture(clip.spectrogram[:, part], "magma"),
        unit=clip.spectrogram_unit,
        anomaly_map="" if where is None else encode_picture(where, "viridis"),
        map_unit="" if where is None else clip.map_unit,
        sound=encode_sound(cut(wave), rate),
        anomaly=None if where is None else encode_sound(cut(clip.resynthesise()), rate),
        times=time_ticks(first, seconds),
        frequencies=frequency_ticks(frequencies),
        faults=frame_faults(regions, frequencies, first, seconds),
        says=(
            f"no anomaly map: {reason.rstrip('.')}" if where is None
            else _say_where(where, times[part], frequencies, regions)
        ),
    )  # fmt: skip


def _pick_part(where: np.ndarray | None, n_frames: int, n_shown: int) -> slice:
    """Pick the neighbouring frames with the greatest sum of the map, or the first frames."""
    if n_frames <= n_shown:
        return slice(0, n_frames)
    if where is None:
        return slice(0, n_shown)
    # Differences of running sums are the sums of all windows at once.
    sums = np.cumsum(np.append(0.0, where.sum(axis=0, dtype=np.float64)))
    start = int(np.argmax(sums[n_shown:] - sums[:-n_shown]))
    return slice(start, start + n_shown)


def _say_where(where: np.ndarray, times: np.ndarray, frequencies: np.ndarray, regions: Any) -> str:
    """Say in words where a map is bright, and how bright it is inside the true faults."""
    if not where.any():
        return "the map marks nothing in this part"
    # Half of the map, since single bright cells are noise and the whole map is everywhere.
    low, high = frequencies[_shortest_half(where.sum(axis=1))]
    start, end = times[_shortest_half(where.sum(axis=0))]
    is_short = end - start < _THROUGHOUT * (times[-1] - times[0])
    when = f"from {start:.1f} to {end:.1f} s" if is_short else "throughout"
    text = f"half of the map lies between {low:.0f} and {high:.0f} Hz, {when}"
    ratio = brightness_inside(where, regions, times, frequencies)
    if np.isfinite(ratio):
        text += f"; in the white frames it is {ratio:.1f} times as bright as outside"
    return text


def _shortest_half(sums: np.ndarray) -> list[int]:
    """Return the first and last position of the shortest run with half of the sum."""
    edges = np.cumsum(np.append(0.0, sums.astype(np.float64)))
    # For each start, the end of the run; from late starts the rest holds less than half.
    ends = np.searchsorted(edges, edges[:-1] + 0.5 * edges[-1])
    lengths = np.where(ends < len(edges), ends - np.arange(len(sums)), len(edges))
    first = int(np.argmin(lengths))
    return [first, min(first + int(lengths[first]), len(sums)) - 1]
