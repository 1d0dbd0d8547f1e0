"""Formats of the files that a front end was fitted on, and warnings about other formats."""

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
    """Sample rates in Hz and numbers of channels of some files."""

    sample_rates: frozenset[int]
    n_channels: frozenset[int]

    @classmethod
    def of(cls, headers: Collection[Header]) -> Self | None:
        """Return the formats in some headers; None if there are no headers."""
        if not headers:
            return None
        return cls(
            frozenset(h.sample_rate for h in headers), frozenset(h.n_channels for h in headers)
        )


def headers_of(sources: Iterable[Any]) -> list[Header]:
    """Read the headers of the files among clips; arrays and bad files have none."""
    headers = []
    for source in sources:
        if isinstance(source, str | os.PathLike):
            with suppress(BadClipError):  # reading the clips will name them
                headers.append(read_header(os.fspath(source)))
    return headers


def warn_of_formats(
    headers: Collection[Header],
    fitted: Formats | None,
    sample_rate: int,
    frequencies: np.ndarray,
    channel: str | int = "mean",
) -> None:
    """Warn about empty bands, and about files whose format differs from those in `fit`."""
    rates = fitted.sample_rates if fitted else frozenset()
    for rate, n_clips in sorted(Counter(h.sample_rate for h in headers).items()):
        empty = frequencies[frequencies > rate / 2]  # nothing was recorded above half the rate
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
                f"bands that were empty in the training clips, of {max(rates)} Hz at most. Record "
                "all at one rate, or fit again."
            )
    channels = fitted.n_channels if fitted and channel == "mean" else frozenset()
    for number, n_clips in sorted(Counter(h.n_channels for h in headers).items()):
        if channels and number not in channels:
            _warn(
                f"{n_clips} of {len(headers)} files have {number} channel(s), the training clips "
                f"{' or '.join(map(str, sorted(channels)))}. Pass channel=... if one of them is "
                "the same microphone, or fit again."
            )


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)
