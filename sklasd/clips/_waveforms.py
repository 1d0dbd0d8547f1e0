"""Clips: from paths, arrays and clip tables to checked mono waveforms at one sample rate."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr

_MOST_FRAMES = 2**40
_LONGEST_HEADER = 4096  # bytes; a longer file that holds no sound was never closed
_MAX_NAMED = 100  # a message that names more clips than this helps nobody


class ClipError(ValueError):
    """Clips that cannot be used, all of them at once.

    Attributes
    ----------
    clips : dict of int to str
        What is wrong with each bad clip, by its position in the input.
    """

    def __init__(self, n_clips: int, clips: dict[int, str]) -> None:
        self.n_clips = n_clips
        self.clips = clips
        lines = list(clips.values())[:_MAX_NAMED]
        if len(clips) > _MAX_NAMED:
            lines.append(f"... and {len(clips) - _MAX_NAMED} more (see the error's `clips`)")
        super().__init__(
            f"{len(clips)} of {n_clips} clips cannot be used:\n  " + "\n  ".join(lines)
        )

    def __reduce__(self) -> tuple[Any, ...]:  # an error must survive the trip out of a worker
        return type(self), (self.n_clips, self.clips), vars(self)  # with its notes


class BadClipError(Exception):
    """One clip that cannot be used: why, and what to do about it."""


class ClipFormat(NamedTuple):
    """What every waveform is brought to.

    Parameters
    ----------
    sample_rate : int
        In Hz; files are resampled to it, arrays are taken to be at it.
    channel : "mean" or int
        How a file with several channels becomes mono.
    duration : float or None
        In seconds; longer clips are cropped, shorter ones repeated. None keeps the length.
    min_samples : int
        Fewest samples a clip may have.
    """

    sample_rate: int
    channel: str | int = "mean"
    duration: float | None = None
    min_samples: int = 1

    @property
    def n_samples(self) -> int | None:
        """Samples of every clip, or None where clips keep their own length."""
        return None if self.duration is None else max(1, round(self.duration * self.sample_rate))


def list_clips(X: Any) -> list[Any]:
    """Bring any accepted form of clips to a list of paths and 1-D arrays.

    Parameters
    ----------
    X : sequence of paths, clip table, array (n_clips, n_samples) or list of 1-D arrays
        See the contract of clips in the documentation.

    Returns
    -------
    list of (str or ndarray)
        One source per clip.

    Examples
    --------
    >>> list_clips(["a.wav", "b.wav"])
    ['a.wav', 'b.wav']
    """
    if hasattr(X, "columns"):
        if "path" not in X.columns:
            raise ValueError(
                f"Got a table without a 'path' column (its columns: {list(X.columns)}); "
                "rename the column that holds the file names to 'path'."
            )
        X = X["path"]
    if isinstance(X, str | bytes | os.PathLike):
        raise ValueError(f"Got the single path {str(X)!r}; pass a list of clips: [{str(X)!r}].")
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS" and X.ndim != 2:
        raise ValueError(
            f"Got an array of shape {X.shape}; waveforms are (n_clips, n_samples). "
            "A single waveform x is passed as [x]."
        )
    sources = list(X)
    if not sources:
        raise ValueError("Got 0 clips; at least 1 is needed.")
    return sources


def with_sounds(X: Any, rows: np.ndarray, sources: list[Any]) -> Any:
    """Give clips, or rows of a clip table, other sounds, in the form that they come in.

    Parameters
    ----------
    X : sequence of paths, clip table, array (n_clips, n_samples) or list of 1-D arrays
        Clips.
    rows : ndarray of int, shape (n_rows,)
        The clip that each sound belongs to.
    sources : list of (path or ndarray)
        The sounds.

    Returns
    -------
    clip table, array (n_rows, n_samples) or list
        A table where `X` is one, an array where it is one, otherwise a list.

    Examples
    --------
    >>> with_sounds(["a.wav", "b.wav"], np.array([0, 0]), ["a.wav", np.zeros(3)])
    ['a.wav', array([0., 0., 0.])]
    """
    if hasattr(X, "columns"):
        column = np.empty(len(sources), dtype=object)
        for row, source in enumerate(sources):  # all at once, numpy would make a matrix of arrays
            column[row] = source
        return X.iloc[rows].reset_index(drop=True).assign(path=column)
    return np.stack(sources) if getattr(X, "ndim", 1) == 2 else list(sources)


def clip_name(index: int, source: Any) -> str:
    """Name a clip in messages: its position and, if it has one, its path."""
    if isinstance(source, str | os.PathLike):
        return f"clip {index} ({os.fspath(source)!r})"
    return f"clip {index}"


def load_waveform(source: Any, form: ClipFormat) -> np.ndarray:
    """Read one clip.

    Parameters
    ----------
    source : path or array (n_samples,)
        Where the clip is.
    form : ClipFormat
        What to bring it to.

    Returns
    -------
    ndarray of shape (n_samples,), float32
        The waveform, at ``form.sample_rate``.

    Raises
    ------
    BadClipError
        With the reason and the remedy, when the clip cannot be used.
    """
    if isinstance(source, str | os.PathLike):
        wave = _read_file(os.fspath(source), form)
    else:
        wave = _read_array(source)
    if wave.size == 0:
        raise BadClipError("is empty; leave it out or record it again")
    if not (np.isfinite(wave.min()) and np.isfinite(wave.max())):  # both propagate NaN
        where = int(np.flatnonzero(~np.isfinite(wave))[0])
        raise BadClipError(f"holds {wave[where]} (NaN or infinity) at sample {where}; repair it")
    n_samples = form.n_samples
    if n_samples is not None:
        # resize repeats what there is; it never interpolates
        wave = wave[:n_samples] if wave.size >= n_samples else np.resize(wave, n_samples)
    if wave.size < form.min_samples:
        raise BadClipError(
            f"has only {wave.size} samples at {form.sample_rate} Hz, fewer than the "
            f"{form.min_samples} of one analysis window; record longer clips, or pass "
            "duration= to repeat short ones, or a smaller win_length"
        )
    return wave


def _read_array(source: Any) -> np.ndarray:
    wave = np.asarray(source)
    if wave.ndim != 1:
        raise BadClipError(f"has shape {wave.shape}; a waveform is 1-D, mono")
    if wave.dtype.kind in "iu":
        raise BadClipError(f"is of dtype {wave.dtype}; divide PCM by its range, to [-1, 1]")
    if wave.dtype.kind != "f":
        raise BadClipError(f"is of dtype {wave.dtype}; a clip is a path or a 1-D array of floats")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, and is named as such
        return np.ascontiguousarray(wave, dtype=np.float32)


def _read_file(path: str, form: ClipFormat) -> np.ndarray:
    if os.path.isdir(path):
        raise BadClipError("is a folder; pass the files in it, or load_clips(folder)")
    if not os.path.exists(path):
        raise BadClipError("does not exist; check the path and the working directory")
    if os.path.getsize(path) == 0:
        raise BadClipError("is an empty file; leave it out or copy it again")
    try:
        with soundfile.SoundFile(path) as file:
            wave = _read_open_file(file, form)
    except soundfile.LibsndfileError as error:
        reason = f"cannot be read as audio ({error.error_string.rstrip('.')})"
        raise BadClipError(f"{reason}; convert it to WAV or FLAC") from error
    n_bytes = os.path.getsize(path)
    if wave.size == 0 and n_bytes > _LONGEST_HEADER:
        raise BadClipError(
            f"has {n_bytes} bytes, but its header says that none of them are sound, as of a "
            "recording that was never closed; repair the header or record it again"
        )
    return wave


def _read_open_file(file: soundfile.SoundFile, form: ClipFormat) -> np.ndarray:
    if file.samplerate <= 0:
        raise BadClipError(f"states a sample rate of {file.samplerate} Hz; write its header again")
    _check_whole(file)
    wanted = file.frames
    if wanted > _MOST_FRAMES:  # what libsndfile says where a stream left the length open
        raise BadClipError("states no length, as streams do; convert it again, from file to file")
    if form.duration is not None:
        wanted = min(wanted, int(np.ceil(form.duration * file.samplerate)))
    # libsndfile converts 16-bit samples one by one; numpy does it three times as fast.
    is_16_bit = file.subtype == "PCM_16"
    wave = file.read(wanted, dtype="int16" if is_16_bit else "float32", always_2d=True)
    if len(wave) < wanted:
        raise BadClipError(f"is truncated: {len(wave)} of {wanted} frames are there; copy it again")
    if is_16_bit:
        wave = wave * np.float32(1 / 32768)
    wave = _to_mono(wave, form.channel)
    if file.samplerate != form.sample_rate and wave.size:
        wave = soxr.resample(wave, file.samplerate, form.sample_rate)
    return wave


def _check_whole(file: soundfile.SoundFile) -> None:
    """Refuse a WAV whose header promises more than the file holds; libsndfile only logs it."""
    if file.format not in {"WAV", "WAVEX", "RF64"}:
        return
    cut = re.search(r"^\s*data\s*:\s*(\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    # Recorders that stream leave 0 or the largest size in the header: that is no truncation.
    if cut and 0 < int(cut[1]) < 0xFFFFFF00 and int(cut[1]) > int(cut[2]):
        raise BadClipError(f"is truncated: {cut[2]} of {cut[1]} bytes are there; copy it again")


def _to_mono(wave: np.ndarray, channel: str | int) -> np.ndarray:
    n_channels = wave.shape[1]
    if channel == "mean":
        return wave[:, 0] if n_channels == 1 else wave.mean(axis=1)
    if int(channel) >= n_channels:
        raise BadClipError(f"has {n_channels} channel(s), so channel={channel} is not there")
    return np.ascontiguousarray(wave[:, int(channel)])
