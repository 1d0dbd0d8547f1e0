"""Altered copies of clips, made in parallel and cached; the same seed makes the same copies."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from numbers import Real
from typing import Any

import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.utils.validation import check_memory

import sklasd
from sklasd.clips._sound_file import BadClipError, ClipFormat
from sklasd.clips._waveforms import load_waveform
from sklasd.features._effects import FEWEST_SAMPLES, amplify, mix, pitch_shift, time_stretch
from sklasd.features._fault_sounds import draw_band, draw_impacts
from sklasd.utils._seeds import draw_seed

Range = tuple[float, float] | None  # to draw an amount from; None switches the effect off
# From a waveform, its sample rate and a generator to an altered waveform.
Effect = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Augmentation:
    """Random changes after which a normal clip is still normal, one after the other."""

    time_stretch: Range = None  # rate
    pitch_shift: Range = None  # semitones
    gain: Range = None  # dB
    snr: Range = None  # dB

    def __call__(self, wave: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        """Alter a waveform (n_samples,), keeping its length."""
        if self.time_stretch is not None:
            wave = time_stretch(wave, rng.uniform(*self.time_stretch))
        if self.pitch_shift is not None:
            wave = pitch_shift(wave, rng.uniform(*self.pitch_shift))
        if self.gain is not None:
            wave = amplify(wave, rng.uniform(*self.gain))
        if self.snr is not None:  # last, so that the copy has this ratio
            wave = mix(wave, rng.normal(size=len(wave)), rng.uniform(*self.snr))
        return wave


@dataclass(frozen=True)
class AddedSound:
    """The sound of a fault, added at a signal-to-noise ratio from a range."""

    kind: str  # "noise" of an octave, or "impacts"
    snr: tuple[float, float]  # dB

    def __call__(self, wave: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        """Alter a waveform (n_samples,), keeping its length."""
        draw = draw_band if self.kind == "noise" else draw_impacts
        return mix(wave, draw(len(wave), sample_rate, rng), rng.uniform(*self.snr))


def alter_clips(
    sources: Sequence[Any],
    form: ClipFormat,
    effects: Sequence[Effect],
    *,
    random_state: Any,
    n_jobs: int | None = None,
    memory: Any = None,
) -> list[list[np.ndarray]]:
    """Make altered copies of clips.

    Returns, for each clip, a list of altered waveforms. With `memory` and a seed they are cached.

    Examples
    --------
    >>> wave = np.sin(np.arange(1000)).astype(np.float32)
    >>> louder = Augmentation(gain=(20.0, 20.0))
    >>> (copy,), nothing = alter_clips(
    ...     [wave, "no-such-file.wav"], ClipFormat(16000), [louder], random_state=0
    ... )
    >>> bool(np.allclose(copy, 10 * wave)), nothing
    (True, [])
    """
    form = form._replace(min_samples=FEWEST_SAMPLES)
    memory = check_memory(None if random_state is None else memory)
    # The key holds the printed effects: joblib's hashes of equal objects may differ.
    alter = memory.cache(_altered_copies, ignore=["effects"])
    key = f"{list(effects)}, sklasd {sklasd.__version__}, librosa {version('librosa')}"
    seed = draw_seed(random_state)
    return Parallel(n_jobs=n_jobs)(
        delayed(alter)(source, form, list(effects), seed, f"{key}, {_state(source)}")
        for source in sources
    )


def _state(source: Any) -> Any:
    """Return size and time of a file, which a cache compares; None for arrays."""
    if not isinstance(source, str | os.PathLike) or not os.path.exists(source):
        return None
    state = os.stat(source)
    return state.st_size, state.st_mtime_ns


def _altered_copies(
    source: Any, form: ClipFormat, effects: list[Effect], seed: int, key: str
) -> list[np.ndarray]:
    """Alter one clip by each effect; `key` stands for effects and files in the cache."""
    try:
        wave, _ = load_waveform(source, form)
    except BadClipError:  # the front end names it later, together with all other bad clips
        return []
    if wave.min() == wave.max():
        return []
    # Seeded by the sound: a clip has the same copies in every fold, which the cache then finds.
    sequence = np.random.SeedSequence([seed, int(joblib.hash(wave), 16)])
    children = sequence.spawn(len(effects))
    return [
        effect(wave, form.sample_rate, np.random.default_rng(child))
        for effect, child in zip(effects, children, strict=True)
    ]


def check_range(name: str, given: Any, unit: str, *, above: float | None = None) -> None:
    """Check a range to draw amounts from.

    Examples
    --------
    >>> check_range("gain", (6, -6), "dB")
    Traceback (most recent call last):
        ...
    ValueError: Got gain=(6, -6); pass the least and the greatest of dB, or None.
    """
    if given is None:
        return
    is_pair = (
        isinstance(given, tuple | list | np.ndarray)
        and len(given) == 2
        and all(isinstance(end, Real) and np.isfinite(float(end)) for end in given)
    )
    if is_pair and given[0] <= given[1] and (above is None or given[0] > above):
        return
    beyond = "" if above is None else f" above {above}"
    raise ValueError(
        f"Got {name}={given!r}; pass the least and the greatest of {unit}{beyond}, or None."
    )
