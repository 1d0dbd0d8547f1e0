"""Load and transform many clips in threads, and name all bad ones at once."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from joblib import effective_n_jobs

from sklasd.clips._clip_error import ClipError, clip_name
from sklasd.clips._sound_file import BadClipError, ClipFormat, Header
from sklasd.clips._waveforms import load_waveform
from sklasd.utils._lists import name_some
from sklasd.utils._progress import progress_bar

_T = TypeVar("_T")
_CLIPS_PER_TASK = 8  # handing over a task costs as much as a tenth of a clip


def map_clips(
    transform: Callable[[np.ndarray], _T],
    sources: Sequence[Any],
    clip_format: ClipFormat,
    *,
    n_jobs: int | None = None,
    desc: str = "clips",
    headers: dict[int, Header] | None = None,
) -> Iterator[_T]:
    """Load each clip, apply a function to its waveform and yield the results in order.

    The function takes a float32 waveform; results come one by one, in the order of the clips. Bad
    clips are named all at once in a ClipError, after all clips were read.
    """
    bad: dict[int, str] = {}
    silent: list[int] = []

    def one(item: tuple[int, Any]) -> _T | None:
        index, source = item
        try:
            wave, header = load_waveform(source, clip_format)
            result = transform(wave)
        except BadClipError as reason:
            bad[index] = str(reason)  # and go on, so that the error names all of them
            return None
        if headers is not None and header is not None:
            headers[index] = header
        if wave.min() == wave.max():
            silent.append(index)
        return result

    with progress_bar(len(sources), desc=desc) as bar, _mapper(n_jobs) as parallel_map:
        for result in parallel_map(one, enumerate(sources)):
            bar.update()
            if result is not None:
                yield result
    if bad:
        raise ClipError(len(sources), bad, {index: sources[index] for index in bad})
    if silent:
        names = [clip_name(index, sources[index]) for index in sorted(silent)]
        warnings.warn(
            f"{len(silent)} of {len(sources)} clips are silent (one constant value): "
            f"{name_some(names)}. Check the microphone or leave them out.",
            UserWarning,
            stacklevel=3,
        )


@contextmanager
def _mapper(n_jobs: int | None) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a `map` that runs in this thread or in a pool of threads."""
    n_threads = effective_n_jobs(n_jobs)
    if n_threads == 1:
        yield map
        return
    import torch

    # Each thread of the pool computes alone: threads within threads would compete for the cores.
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield lambda function, items: _map_in_pool(pool, n_threads, function, list(items))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # MKL has one count for the whole process


def _map_in_pool(
    pool: ThreadPoolExecutor, n_threads: int, function: Callable[..., Any], items: list[Any]
) -> Iterator[Any]:
    """Map in order, with few results waiting, so that memory does not grow with the data."""
    size = min(_CLIPS_PER_TASK, -(-len(items) // n_threads))
    pending: deque[Any] = deque()
    for first in range(0, len(items), size):
        pending.append(pool.submit(_each, function, items[first : first + size]))
        if len(pending) > 2 * n_threads:
            yield from pending.popleft().result()
    for future in pending:
        yield from future.result()


def _each(function: Callable[..., Any], items: list[Any]) -> list[Any]:
    return [function(item) for item in items]


def collect(results: Iterator[np.ndarray], n_results: int) -> np.ndarray | list[np.ndarray]:
    """Gather at most `n_results` arrays into one, or into a list if their shapes differ.

    Examples
    --------
    >>> collect(iter([np.zeros(3), np.ones(3)]), 2).shape
    (2, 3)
    >>> [len(a) for a in collect(iter([np.zeros(3), np.ones(4)]), 2)]
    [3, 4]
    """
    # The array is made as soon as two shapes agree, so that no clip is in memory twice. The first
    # clip alone is no reason to allocate: the others may be shorter.
    whole: np.ndarray | None = None
    rows: list[np.ndarray] = []
    for index, row in enumerate(results):
        if index == 0:
            rows.append(row)
            continue
        if index == 1 and row.shape == rows[0].shape:
            whole = np.empty((n_results, *row.shape), dtype=row.dtype)
            whole[0], rows = rows[0], []
        if whole is not None and row.shape != whole.shape[1:]:
            rows, whole = [kept.copy() for kept in whole[:index]], None
        if whole is not None:
            whole[index] = row
        else:
            rows.append(row)
    if whole is None and len(rows) == n_results == 1:
        return rows[0][None]
    return rows if whole is None else whole
