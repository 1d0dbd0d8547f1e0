"""Embeddings of clips by a frozen net: reading, batches of equal length, a cache of rows."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from typing import Any, ClassVar, NamedTuple, Self

import joblib
import numpy as np
import torch
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted, check_memory
from torch import Tensor

import sklasd
from sklasd.clips._map_clips import map_clips
from sklasd.clips._sound_file import BadClipError
from sklasd.clips._waveforms import list_clips
from sklasd.features._front_end import ClipTransformer
from sklasd.training._modes import exact
from sklasd.utils._devices import check_device

# Seconds of sound in a batch. One clip of 10 s keeps a core busy; clips of 1 s have to share the
# cost of loading the weights.
_TOGETHER = {"cpu": 4.0, "cuda": 40.0}
_WAITING = 600.0  # seconds of sound that may wait in memory for others of the same length


class _Clip(NamedTuple):
    """A clip on its way through the net."""

    key: str  # of its row in the cache
    values: np.ndarray  # the input of the net, first axis time
    row: np.ndarray | None  # from the cache, or from the net
    position: int = -1


def _row(key: str, row: np.ndarray | None) -> np.ndarray | None:
    """Return the row: the function whose results are cached."""
    return row


class _RowCache:
    """Rows of clips, by the samples of the clip and by everything else that they depend on.

    Rows are computed in batches, while joblib caches calls of a function. So the cached function
    is the identity: it is called with a row to store it, and without one to load it.
    """

    def __init__(self, memory: Any, identity: Any) -> None:
        memory = check_memory(memory)
        self.is_on = memory.store_backend is not None
        self._identity = joblib.hash((identity, sklasd.__version__, torch.__version__))
        self._row = memory.cache(_row, ignore=["row"])

    def key(self, wave: np.ndarray) -> str:
        """Return the key of a waveform's row."""
        return self._identity + hashlib.sha256(wave.data).hexdigest() if self.is_on else ""

    def find(self, key: str) -> np.ndarray | None:
        """Return a row, or None where it is not stored."""
        return self._row(key, None) if self._row.check_call_in_cache(key, None) else None

    def store(self, key: str, row: np.ndarray) -> None:
        """Store a row."""
        # `call` writes in any case: over the None, too, that a damaged file leaves after `find`.
        if self.is_on:
            self._row.call(key, row)


class FrozenNetEmbedding(ClipTransformer):
    """Base of transformers that embed clips by a frozen net, one row per clip.

    A subclass defines the net and its input by hooks. Its parameters `channel`, `pad_short`,
    `n_jobs`, `device` and `memory` are used here.
    """

    _parameter_constraints: ClassVar[dict] = {
        **ClipTransformer._parameter_constraints,
        "pad_short": ["boolean"],
        "segment_duration": [Interval(Real, 0, None, closed="neither")],
        "memory": [str, HasMethods("cache"), None],
    }
    _learns_of_clips = False  # `fit` reads the net and no clip, so folds can share the rows
    pad_short: bool
    memory: Any

    @abstractmethod
    def _load(self) -> None:
        """Store what `fit` learns about the net, in attributes ending in `_`."""

    @abstractmethod
    def _net(self, device: str) -> Callable[[Tensor], Tensor]:
        """Return the function from a batch on a device to rows."""

    @abstractmethod
    def _input(self) -> NetInput:
        """Describe the input of the net."""

    @abstractmethod
    def _identity(self) -> Any:
        """Return everything that rows depend on, except the waveform."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the net; nothing is learnt from clips.

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
            (a ValueError) that names every bad clip, what is wrong with it, and the remedy.
        """
        check_is_fitted(self)
        self.check_params()
        sources, net_input = list_clips(X), self._input()
        cache = _RowCache(self.memory, self._identity())

        def prepare(wave: np.ndarray) -> _Clip:
            wave = net_input.lengthen(wave, pad=self.pad_short)
            key = cache.key(wave)
            row = cache.find(key)
            values = net_input.front_end(wave) if row is None else np.empty(0)
            return _Clip(key, values, row)

        clips = map_clips(prepare, sources, self.clip_format, n_jobs=self.n_jobs, desc="embedding")
        rows: dict[int, np.ndarray] = {}
        for clip in self._embed(clips, net_input.rate):
            assert clip.row is not None
            if clip.values.size:  # a row from the cache came without values
                cache.store(clip.key, clip.row)
            rows[clip.position] = clip.row
        return np.stack([rows[position] for position in range(len(sources))])

    def _embed(self, clips: Iterable[_Clip], rate: float) -> Iterator[_Clip]:
        """Yield clips with their rows, in the order in which batches are full."""
        device = check_device(self.device)
        together = _TOGETHER[torch.device(device).type]
        net = None
        for batch in _by_length(clips, together * rate, _WAITING * rate):
            if batch[0].row is not None:
                yield from batch
                continue
            net = net or self._net(device)  # not loaded where all rows are in the cache
            full = max(1, int(together * rate) // len(batch[0].values))
            # Batches of another size would change the last bits of a row: each one is full, by
            # copies of its last clip, which any net accepts.
            values = np.stack([batch[min(i, len(batch) - 1)].values for i in range(full)])
            with torch.inference_mode(), exact(device):
                rows = net(torch.from_numpy(values).to(device)).float().cpu().numpy()
            for clip, row in zip(batch, rows, strict=False):
                yield clip._replace(row=row)


class NetInput(NamedTuple):
    """The input of a net."""

    name: str  # of the net, for messages
    sample_rate: int  # Hz
    rate: float  # steps per second on the first axis of the front end's result
    shortest: int  # samples of the shortest waveform
    front_end: Callable[[np.ndarray], np.ndarray]  # of a waveform; it runs in readers' threads

    def lengthen(self, wave: np.ndarray, *, pad: bool) -> np.ndarray:
        """Append silence to a waveform that is too short; refuse it without `pad`."""
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
    """Collect clips of equal length until a batch is full, or too many clips wait.

    A clip that has its row already is yielded at once.
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
        if (len(same) + 1) * length > full:  # the next one would not fit
            n_waiting -= len(same) * length
            yield waiting.pop(length)
        elif n_waiting > most:
            yield from waiting.values()
            waiting, n_waiting = {}, 0
    yield from waiting.values()
