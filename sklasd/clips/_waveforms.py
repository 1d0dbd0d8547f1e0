"""Make checked mono waveforms at one sample rate of paths, arrays and clip tables."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from sklasd.clips._sound_file import (
    BadClipError,
    ClipFormat,
    Header,
    check_samples,
    read_sound,
)


def list_clips(X: Any) -> list[Any]:
    """Return a list of one path or 1-D array for each clip, from any form of clips.

    Examples
    --------
    >>> list_clips(["a.wav", "b.wav"])
    ['a.wav', 'b.wav']
    """
    if hasattr(X, "columns"):
        if "path" not in X.columns:
            raise ValueError(
                f"Got a table without a 'path' column (its columns: {list(X.columns)}); "
                "rename the column with the file names to 'path'."
            )
        X = X["path"].to_numpy(dtype=object)  # of numbers, if no path is filled in
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
    """Return clips with other sounds: a table, an array or a list, as the clips are.

    `rows` has the clip that each sound belongs to; a table keeps its other columns.

    Examples
    --------
    >>> with_sounds(["a.wav", "b.wav"], np.array([0, 0]), ["a.wav", np.zeros(3)])
    ['a.wav', array([0., 0., 0.])]
    """
    if hasattr(X, "columns"):
        column = np.empty(len(sources), dtype=object)
        for row, source in enumerate(sources):  # column[:] = sources could become a matrix
            column[row] = source
        return X.iloc[rows].reset_index(drop=True).assign(path=column)
    return np.stack(sources) if getattr(X, "ndim", 1) == 2 else list(sources)


def load_waveform(source: Any, clip_format: ClipFormat) -> tuple[np.ndarray, Header | None]:
    """Read one clip; the header is None for an array.

    Raises
    ------
    BadClipError
        If the clip cannot be used, with reason and remedy.
    """
    if isinstance(source, str | os.PathLike):
        wave, header = read_sound(os.fspath(source), clip_format)
    else:
        wave, header = _read_array(source), None
        clip_format.check_length(len(wave), clip_format.sample_rate)
    if wave.size == 0:
        raise BadClipError("is empty; leave it out or record it again")
    n_samples = clip_format.n_samples
    if n_samples is not None:
        # numpy's resize repeats the samples; it does not interpolate
        wave = wave[:n_samples] if wave.size >= n_samples else np.resize(wave, n_samples)
    if wave.size < clip_format.min_samples:
        raise BadClipError(
            f"has only {wave.size} samples at {clip_format.sample_rate} Hz, fewer than the "
            f"{clip_format.min_samples} of one analysis window; record longer clips, or pass "
            "duration= to repeat short ones, or a smaller win_length"
        )
    return wave, header


def _read_array(source: Any) -> np.ndarray:
    wave = np.asarray(source)
    if wave.ndim == 0:
        raise BadClipError(
            f"is {source!r}, neither a path nor a waveform; fill in its path or leave it out"
        )
    if wave.ndim != 1:
        raise BadClipError(f"has shape {wave.shape}; a waveform is 1-D, mono")
    if wave.dtype.kind in "iu":
        raise BadClipError(f"is of dtype {wave.dtype}; divide PCM by its range, to [-1, 1]")
    if wave.dtype.kind != "f":
        raise BadClipError(f"is of dtype {wave.dtype}; a clip is a path or a 1-D array of floats")
    with np.errstate(over="ignore"):  # too large a float64 becomes inf, which is refused
        wave = np.ascontiguousarray(source, dtype=np.float32)
    check_samples(wave, np.asarray(source))
    return wave
