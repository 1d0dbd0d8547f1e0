"""Clips to rows by a frozen net: readers, batches of equal clips, a cache of rows."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_memory
from torch import Tensor

import sklasd
from sklasd.clips._map_clips import map_clips
from sklasd.clips._sound_file import BadClipError, ClipFormat
from sklasd.clips._waveforms import list_clips
from sklasd.training._modes import exact
from sklasd.utils._devices import check_device

# Seconds of sound in a batch. A core computes one clip of 10 s as fast as many, but loads weights
# for every batch of clips of 1 s; and a batch is always full, so that no clip feels its company.
_TOGETHER = {"cpu": 4.0, "cuda": 40.0}
_WAITING = 600.0  # seconds of sound that may wait for others of the same length


class _Clip(NamedTuple):
    """A clip on its way through the net."""

    key: str  # of its row in the cache
    values: np.ndarray  # what the net takes, first axis time
    row: np.ndarray | None  # where the cache has it
    position: int = -1


def _row(key: str, row: np.ndarray | None) -> np.ndarray:
    """Return what is to be kept; the cache calls this where it has nothing."""
    if row is None:
        raise KeyError(key)
    return row


class _RowCache:
    """Rows of clips by the clip's samples, and by all else that they depend on."""

    def __init__(self, memory: Any, identity: Any) -> None:
        memory = check_memory(memory)
        self.keeps = memory.store_backend is not None
        self.identity = joblib.hash((identity, sklasd.__version__, torch.__version__))
        self._row = memory.cache(_row, ignore=["row"])

    def key(self, wave: np.ndarray) -> str:
        """Return the key of a waveform's row."""
        return self.identity + hashlib.sha256(wave.data).hexdigest() if self.keeps else ""

    def find(self, key: str) -> np.ndarray | None:
        """Return a row, or None where it is not known."""
        try:
            return self._row(key, None)
        except KeyError:
            return None

    def keep(self, key: str, row: np.ndarray) -> np.ndarray:
        """Keep a row for the next time."""
        return self._row(key, row)


class FrozenNetEmbedding(TransformerMixin, BaseEstimator):
    """Turn clips into what a frozen net makes of them, one row per clip.

    A subclass says by hooks what the net is and what it takes. Its parameters `channel`,
    `pad_short`, `n_jobs`, `device` and `memory` are used here.
    """

    _parameter_constraints: ClassVar[dict] = {
        "pad_short": ["boolean"],
        "segment_duration": [Interval(Real, 0, None, closed="neither")],
        "channel": [StrOptions({"mean"}), Interval(Integral, 0, None, closed="left")],
        "n_jobs": [Integral, None],
        "device": [str],
        "memory": [str, HasMethods("cache"), None],
    }
    _learns_of_clips = False  # `fit` reads the net, and looks at no clip
    channel: Any
    pad_short: bool
    n_jobs: int | None
    device: str
    memory: Any

    @property
    @abstractmethod
    def clip_format(self) -> ClipFormat:
        """How clips are read: sample rate, channel, and the rest of a `ClipFormat`."""

    @abstractmethod
    def _load(self) -> None:
        """Learn of the net what `fit` keeps, into attributes ending in `_`."""

    @abstractmethod
    def _net(self, device: str) -> Callable[[Tensor], Tensor]:
        """Return the function from a batch on a device to rows."""

    @abstractmethod
    def _input(self) -> NetInput:
        """Say what the net takes."""

    @abstractmethod
    def _identity(self) -> Any:
        """Return what rows depend on beside the waveform."""

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, as `fit` and `transform` do before they look at any clip.

        Parameters
        ----------
        n_features : ignored
            Present for the convention.

        Raises
        ------
        ValueError
            For values that cannot be.
        """
        self._validate_params()
        check_device(self.device)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the net; nothing is learnt of clips.

        Parameters
        ----------
        X : clips
            Not read.
        y : ignored
            Present for the convention.

        Returns
        -------
        self : estimator
            The same transformer.
        """
        self.check_params()
        self._load()
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the embeddings.

        Parameters
        ----------
        X : list of paths, clip table, array (n_clips, n_samples) or list of 1-D arrays
            The clips, which may differ in length.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float32
            One row per clip.

        Raises
        ------
        ClipError
            (a ValueError) naming every clip that cannot be used, why, and the remedy.
        """
        check_is_fitted(self)
        self.check_params()
        sources, takes = list_clips(X), self._input()
        cache = _RowCache(self.memory, self._identity())

        def prepare(wave: np.ndarray) -> _Clip:
            wave = takes.lengthen(wave, pad=self.pad_short)
            key = cache.key(wave)
            row = cache.find(key) if cache.keeps else None
            values = takes.front_end(wave) if row is None else np.empty(0)
            return _Clip(key, values, row)

        clips = map_clips(prepare, sources, self.clip_format, n_jobs=self.n_jobs, desc="embedding")
        rows: dict[int, np.ndarray] = {}
        for clip in self._embed(clips, takes.rate):
            assert clip.row is not None
            rows[clip.position] = cache.keep(clip.key, clip.row) if cache.keeps else clip.row
        return np.stack([rows[position] for position in range(len(sources))])

    def _embed(self, clips: Iterable[_Clip], rate: float) -> Iterator[_Clip]:
        """Yield clips with their rows, as they are done; the net is loaded for the first one."""
        device = check_device(self.device)
        together = _TOGETHER[torch.device(device).type]
        net = None
        for batch in _by_length(clips, together * rate, _WAITING * rate):
            if batch[0].row is not None:
                yield from batch
                continue
            net = net or self._net(device)
            full = max(1, int(together * rate) // len(batch[0].values))
            # What fills the batch up is one of its clips: no net is at a loss for it.
            values = np.stack([batch[min(i, len(batch) - 1)].values for i in range(full)])
            with torch.inference_mode(), exact(device):
                rows = net(torch.from_numpy(values).to(device)).float().cpu().numpy()
            for clip, row in zip(batch, rows, strict=False):
                yield clip._replace(row=row)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True  # clips are checked one by one, by load_waveform
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class NetInput(NamedTuple):
    """What a net takes.

    Parameters
    ----------
    name : str
        Of the net, for messages.
    sample_rate : int
        In Hz.
    rate : float
        Values a second, on the first axis of what the front end returns.
    shortest : int
        Samples of the shortest waveform.
    front_end : callable
        From a waveform to what the net takes; it runs in the readers' threads.
    """

    name: str
    sample_rate: int
    rate: float
    shortest: int
    front_end: Callable[[np.ndarray], np.ndarray]

    def lengthen(self, wave: np.ndarray, *, pad: bool) -> np.ndarray:
        """Bring a waveform that is too short to the least length, if that is asked for."""
        missing = self.shortest - wave.size
        if missing <= 0:
            return wave
        if not pad:
            raise BadClipError(
                f"has only {wave.size} samples at {self.sample_rate} Hz, fewer than the "
                f"{self.shortest} ({self.shortest / self.sample_rate:.2g} s) that {self.name} "
                "takes; record longer clips, or pass pad_short=True to append silence"
            )
        return np.pad(wave, (0, missing))


def _by_length(clips: Iterable[_Clip], full: float, most: float) -> Iterator[list[_Clip]]:
    """Gather clips of equal length until a batch is full, or too much is waiting.

    Clips that have their row already come by themselves.
    """
    waiting: dict[int, list[_Clip]] = {}
    n_waiting = 0
    for position, clip in enumerate(clips):
        clip = clip._replace(position=position)
        if clip.row is not None:
            yield [clip]
            continue
        length = len(clip.values)
        same = waiting.setdefault(length, [])
        same.append(clip)
        n_waiting += length
        if (len(same) + 1) * length > full:
            n_waiting -= len(same) * length
            yield waiting.pop(length)
        elif n_waiting > most:
            yield from waiting.values()
            waiting, n_waiting = {}, 0
    yield from waiting.values()
