"""Read plausible headers and mono waveforms of sound files, block by block."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr

_SLOWEST, _FASTEST = 1_000, 768_000  # Hz; other rates mean a damaged header, not a microphone
_MOST_FRAMES = 2**40
# No codec packs sound tighter: a FLAC frame of silence has 65,535 samples in 14 bytes.
_FRAMES_PER_BYTE = 8192
_LONGEST_HEADER = 4096  # bytes; a longer file without sound was never closed
_BLOCK = 2**20  # samples of all channels that are read at once
_LOUDEST = 1e15  # full scale is 1; the powers of louder samples overflow
_CANCELLED = 1e-3  # channels cancel if less than this share of their peak is left in their mean
_CONVERT = "convert it to WAV or FLAC"
_DAMAGED = "the file is damaged: copy it again from where it was recorded, or leave it out"
_REMEDIES = {  # by libsndfile's number of the error
    1: f"if it plays elsewhere, {_CONVERT}; else {_DAMAGED}",  # format not recognised
    2: "check that you may read it, and that the disk works",  # the system's error
    4: _CONVERT,  # unsupported encoding
}


class BadClipError(Exception):
    """Reason why one clip cannot be used, and the remedy."""


class ClipFormat(NamedTuple):
    """Format of all waveforms.

    Parameters
    ----------
    sample_rate : int
        In Hz; files are resampled to it, arrays are assumed to have it.
    channel : "mean" or int
        How a file with several channels becomes mono.
    duration : float or None
        In seconds; longer clips are cropped, shorter ones repeated. None keeps the length.
    min_samples : int
        Least number of samples in a clip.
    max_duration : float or None
        In seconds; longer clips are refused, unless `duration` crops them. The message offers it as
        a remedy, so the front end needs a parameter of this name.
    """

    sample_rate: int
    channel: str | int = "mean"
    duration: float | None = None
    min_samples: int = 1
    max_duration: float | None = None

    @property
    def n_samples(self) -> int | None:
        """Samples of every clip, or None if clips keep their own length."""
        return None if self.duration is None else max(1, round(self.duration * self.sample_rate))

    def check_length(self, n_samples: int, sample_rate: int) -> None:
        """Refuse a clip that is longer than `max_duration`, before memory for it is allocated."""
        longest, seconds = self.max_duration, n_samples / sample_rate
        if self.duration is None and longest is not None and seconds > longest:
            raise BadClipError(
                f"lasts {seconds:,.0f} s, longer than max_duration={longest:g}; cut it into clips, "
                "pass duration= to take its beginning, or a larger max_duration, or None"
            )


class Header(NamedTuple):
    """Contents of the header of a sound file."""

    sample_rate: int  # Hz
    n_channels: int
    n_frames: int  # samples of each channel


def read_header(path: str) -> Header:
    """Read the header of a sound file; BadClipError if there is none, or it cannot be true."""
    with _open(path) as file:
        return Header(file.samplerate, file.channels, file.frames)


def read_sound(path: str, clip_format: ClipFormat) -> tuple[np.ndarray, Header]:
    """Read a sound file as a mono waveform, and its header.

    Blocks are mixed and resampled as they are read, so that only the waveform is in memory.
    """
    with _open(path) as file:
        rate, n_frames = file.samplerate, file.frames
        clip_format.check_length(n_frames, rate)
        if clip_format.duration is not None:
            n_frames = min(n_frames, int(np.ceil(clip_format.duration * rate)))
        # Memory is used when it is written to, so a header that states too much costs none.
        wave = np.empty(n_frames * clip_format.sample_rate // rate + 16, dtype=np.float32)
        n_samples = 0
        for block in _resample(
            _mono_blocks(file, n_frames, clip_format.channel), rate, clip_format.sample_rate
        ):
            wave[n_samples : n_samples + len(block)] = block
            n_samples += len(block)
        return wave[:n_samples], Header(rate, file.channels, file.frames)


@contextmanager
def _open(path: str) -> Iterator[soundfile.SoundFile]:
    """Open a sound file whose header can be true; refuse any other with the reason."""
    if os.path.isdir(path):
        raise BadClipError("is a folder; pass the files in it, or load_clips(folder)")
    if not os.path.exists(path):
        raise BadClipError("does not exist; check the path and the working directory")
    if not os.path.isfile(path):  # reading from a pipe may never end
        raise BadClipError("is a device or a pipe; record it to a file first")
    n_bytes = os.path.getsize(path)
    if n_bytes == 0:
        raise BadClipError("is an empty file; leave it out or copy it again")
    if path.lower().endswith(".raw"):  # soundfile would ask for the format
        raise BadClipError(f"is raw, without a header that states its format; {_CONVERT}")
    try:
        # Names on disk are bytes and not always UTF-8, but soundfile expects UTF-8 in a str.
        with soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path)) as file:
            _check_header(file, n_bytes)
            yield file
    except soundfile.LibsndfileError as error:
        reason = f"cannot be read as audio ({error.error_string.rstrip('.')})"
        raise BadClipError(f"{reason}; {_REMEDIES.get(error.code, _DAMAGED)}") from error


def _check_header(file: soundfile.SoundFile, n_bytes: int) -> None:
    rate, n_frames = file.samplerate, file.frames
    if not _SLOWEST <= rate <= _FASTEST:
        raise BadClipError(
            f"states a sample rate of {rate} Hz; {_SLOWEST} to {_FASTEST} Hz are expected. Write "
            "its header again"
        )
    _check_whole(file)
    if n_frames > _MOST_FRAMES:  # libsndfile's answer if a stream left the length open
        raise BadClipError("states no length, as streams do; convert it again, from file to file")
    if n_frames > n_bytes * _FRAMES_PER_BYTE:
        raise BadClipError(
            f"states {n_frames} frames, more than its {n_bytes} bytes can hold; {_DAMAGED}"
        )
    if n_frames == 0 and n_bytes > _LONGEST_HEADER:
        raise BadClipError(
            f"has {n_bytes} bytes, but no sound according to its header, like a recording that "
            "was never closed; repair the header or record it again"
        )


def _check_whole(file: soundfile.SoundFile) -> None:
    """Refuse a WAV whose header states more than there is; libsndfile only logs it."""
    if file.format not in {"WAV", "WAVEX", "RF64"}:
        return
    cut = re.search(r"^\s*data\s*:\s*(\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    # Recorders that stream leave 0 or the largest size in the header: such files are whole.
    if cut and 0 < int(cut[1]) < 0xFFFFFF00 and int(cut[1]) > int(cut[2]):
        raise BadClipError(f"is truncated: {cut[2]} of {cut[1]} bytes are there; copy it again")


def _mono_blocks(
    file: soundfile.SoundFile, n_frames: int, channel: str | int
) -> Iterator[np.ndarray]:
    """Read the first frames, and yield them as blocks of one channel, float32."""
    if channel != "mean" and int(channel) >= file.channels:
        raise BadClipError(f"has {file.channels} channel(s), so channel={channel} is not there")
    # libsndfile converts 16-bit samples one by one; numpy does it three times as fast.
    is_16_bit = file.subtype == "PCM_16"
    peak = peak_of_mean = 0.0
    size = max(1, _BLOCK // file.channels)
    for first in range(0, n_frames, size):
        wanted = min(size, n_frames - first)
        raw = file.read(wanted, dtype="int16" if is_16_bit else "float32", always_2d=True)
        if len(raw) < wanted:
            there = first + len(raw)
            raise BadClipError(f"is truncated: {there} of {n_frames} frames are there; {_DAMAGED}")
        if is_16_bit:
            raw = raw * np.float32(1 / 32768)
        mono = _to_mono(raw, channel)
        check_samples(mono, raw, first)
        if channel == "mean" and file.channels > 1:
            peak, peak_of_mean = max(peak, _peak(raw)), max(peak_of_mean, _peak(mono))
        yield mono
    if peak_of_mean < _CANCELLED * peak:
        raise BadClipError(
            f"has {file.channels} channels that cancel each other in their mean, as if one of "
            "them had the wrong polarity; pass channel=0"
        )


def _to_mono(raw: np.ndarray, channel: str | int) -> np.ndarray:
    if channel != "mean":
        return np.ascontiguousarray(raw[:, int(channel)])
    with np.errstate(over="ignore", invalid="ignore"):  # check_samples refuses the result
        return raw[:, 0] if raw.shape[1] == 1 else raw.mean(axis=1)


def _peak(x: np.ndarray) -> float:
    return max(float(x.max()), -float(x.min()))


def check_samples(mono: np.ndarray, raw: np.ndarray, first: int = 0) -> None:
    """Refuse samples that are NaN, infinite, or too large; name the first one.

    `mono` was made of `raw`, whose first sample is at position `first` of the clip.
    """
    if mono.size == 0 or _peak(mono) <= _LOUDEST:  # false for NaN, which min and max return
        return
    where = int(np.flatnonzero(~(np.abs(mono) <= _LOUDEST))[0])
    if np.isfinite(raw[where]).all():
        value = np.abs(raw[where]).max()
        raise BadClipError(
            f"reaches {value:g} at sample {first + where}, where full scale is 1, so that its "
            "powers overflow; scale it to [-1, 1]"
        )
    raise BadClipError(f"has {mono[where]} (NaN or infinity) at sample {first + where}; repair it")


def _resample(blocks: Iterator[np.ndarray], rate: int, wanted_rate: int) -> Iterator[np.ndarray]:
    """Resample block by block; bit-equal to `soxr.resample` of all at once."""
    if rate == wanted_rate:
        yield from blocks
        return
    stream: Any = soxr.ResampleStream(rate, wanted_rate, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)
