"""How files were recorded: what a front end was fitted on, and warnings where others differ."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, NamedTuple, Self

import numpy as np

from sklasd.clips._sound_file import BadClipError, Header, read_header


class Formats(NamedTuple):
    """Sample rates in Hz and numbers of channels of files."""

    sample_rates: frozenset[int]
    n_channels: frozenset[int]

    @classmethod
    def of(cls, headers: Collection[Header]) -> Self | None:
        """Sum up headers; None where there are none."""
        if not headers:
            return None
        return cls(
            frozenset(h.sample_rate for h in headers), frozenset(h.n_channels for h in headers)
        )


def headers_of(sources: Iterable[Any]) -> list[Header]:
    """Read the headers of the files among clips; bad ones are left to who reads the clips.

    Parameters
    ----------
    sources : iterable of (path or ndarray)
        From `list_clips`.

    Returns
    -------
    list of Header
        None of arrays.
    """
    headers = []
    for source in sources:
        if isinstance(source, str | os.PathLike):
            with suppress(BadClipError):
                headers.append(read_header(os.fspath(source)))
    return headers


def warn_of_formats(
    headers: Collection[Header],
    known: Formats | None,
    sample_rate: int,
    frequencies: np.ndarray,
    channel: str | int = "mean",
) -> None:
    """Warn of bands that are empty, and of files unlike those that were fitted on.

    Parameters
    ----------
    headers : collection of Header
        Of the files that were read.
    known : Formats or None
        Of the files that were fitted on, of which no one is to be told again.
    sample_rate : int
        Of the front end in Hz.
    frequencies : ndarray of shape (n_bands,)
        Centres of its bands in Hz.
    channel : "mean" or int, default="mean"
        What it hears: one channel is the same microphone, however many there are.

    Warns
    -----
    UserWarning
        One for each sample rate and number of channels.
    """
    rates = known.sample_rates if known else frozenset()
    for rate, n_clips in sorted(Counter(h.sample_rate for h in headers).items()):
        empty = frequencies[frequencies > rate / 2]
        if rate in rates:
            continue
        if empty.size:
            _warn(
                f"{n_clips} of {len(headers)} files have a sample rate of {rate} Hz, so that "
                f"{empty.size} of {len(frequencies)} bands, from {empty[0]:.0f} to "
                f"{empty[-1]:.0f} Hz, are empty. Record at {sample_rate} Hz, or pass "
                f"sample_rate={rate}, or fmax={rate / 2:g}."
            )
        elif rates and (frequencies > max(rates) / 2).any():
            _warn(
                f"{n_clips} of {len(headers)} files have a sample rate of {rate} Hz, and sound in "
                f"bands that were empty in those that were fitted on, of {max(rates)} Hz at most. "
                "Record all at one rate, or fit again."
            )
    channels = known.n_channels if known and channel == "mean" else frozenset()
    for number, n_clips in sorted(Counter(h.n_channels for h in headers).items()):
        if channels and number not in channels:
            _warn(
                f"{n_clips} of {len(headers)} files have {number} channel(s), those that were "
                f"fitted on {' or '.join(map(str, sorted(channels)))}. Pass channel=... if one of "
                "them is the same microphone, or fit again."
            )


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)
