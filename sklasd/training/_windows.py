"""Windows over clips: gathered by index from one tensor, pooled back to clips."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

_GPU_SHARE = 0.5  # of the free memory that spectrograms may take on a GPU


def window_starts(n_frames: int, length: int, hop: int) -> np.ndarray:
    """Place windows over a clip so that every frame lies in one.

    Parameters
    ----------
    n_frames : int
        Of the clip, at least `length`.
    length, hop : int
        Of the windows, in frames.

    Returns
    -------
    ndarray of shape (n_windows,)
        First frame of each; the last window ends with the clip, also where `hop` does not fit.

    Examples
    --------
    >>> window_starts(10, 4, 4)
    array([0, 4, 6])
    """
    starts = np.arange(0, n_frames - length + 1, hop)
    if starts[-1] + length < n_frames:
        starts = np.append(starts, n_frames - length)
    return starts


@dataclass(frozen=True)
class Spectrograms:
    """Spectrograms of any lengths, end to end in one array.

    Parameters
    ----------
    frames : ndarray of shape (n_frames_of_all, n_mels), float32 or uint8
        C-contiguous: a window is one run of memory. Images of 8 bits take a quarter of it; their
        windows are float32 from 0 to 1.
    bounds : ndarray of shape (n_clips + 1,)
        Clip i is ``frames[bounds[i]:bounds[i + 1]]``.
    are_rows : bool, default=False
        Each clip is one embedding: its only window comes without an axis of time.
    are_images : bool, default=False
        They came as images of 8 bits, which have no level in dB.
    """

    frames: np.ndarray
    bounds: np.ndarray
    are_rows: bool = False
    are_images: bool = False

    @classmethod
    def stack(cls, X: Any, *, are_images: bool = False) -> Spectrograms:
        """Lay spectrograms end to end; free for what LogMel gives, else one copy.

        Parameters
        ----------
        X : ndarray (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32 or uint8
            From `check_spectrograms`.
        are_images : bool, default=False
            Whether X was made of 8 bits, as it is where it still is.

        Returns
        -------
        Spectrograms
            Sharing memory with X where its layout allows.

        Examples
        --------
        >>> Spectrograms.stack(np.zeros((2, 64, 10), np.float32)).bounds
        array([ 0, 10, 20])
        """
        if isinstance(X, np.ndarray):
            n_clips, n_mels, n_frames = X.shape
            frames = np.ascontiguousarray(X.transpose(0, 2, 1)).reshape(-1, n_mels)
            bounds = np.arange(n_clips + 1) * n_frames
        else:
            frames = np.concatenate([x.T for x in X])
            bounds = np.concatenate([[0], np.cumsum([x.shape[1] for x in X])])
        return cls(frames, bounds, are_images=are_images or frames.dtype == np.uint8)

    @classmethod
    def of_rows(cls, X: np.ndarray) -> Spectrograms:
        """Take embeddings, each as a clip of a single frame.

        Parameters
        ----------
        X : ndarray of shape (n_clips, n_features), float32
            One row per clip.

        Returns
        -------
        Spectrograms
            Whose windows are batches of rows.

        Examples
        --------
        >>> rows = Spectrograms.of_rows(np.eye(3, dtype=np.float32))
        >>> rows.windows(1, 1)[[0, 2]].shape
        torch.Size([2, 3])
        """
        return cls(np.ascontiguousarray(X), np.arange(len(X) + 1), are_rows=True)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def unstack(self) -> np.ndarray | list[np.ndarray]:
        """Undo `stack`, without copying.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            The list where clips differ in length.

        Examples
        --------
        >>> Spectrograms.stack(np.zeros((2, 64, 10), np.float32)).unstack().shape
        (2, 64, 10)
        """
        if len(set(self.n_frames)) > 1:
            return list(self)
        return self.frames.reshape(len(self), -1, self.n_mels).transpose(0, 2, 1)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Iterate over the clips, views of (n_mels, n_frames)."""
        return (self.frames[a:b].T for a, b in pairwise(self.bounds))

    @cached_property
    def digest(self) -> str:
        """What a cache knows the data by; hashed once, however many nets learn from them."""
        return joblib.hash((self.frames, self.bounds))

    @cached_property
    def are_silent(self) -> np.ndarray:
        """Whether no band of a clip ever changes its level, shape (n_clips,), bool."""
        first = self.bounds[:-1]
        low, high = (f.reduceat(self.frames, first, axis=0) for f in (np.minimum, np.maximum))
        # A single frame, such as an embedding, does not tell.
        return (low == high).all(axis=1) & (self.n_frames > 1)

    @property
    def levels(self) -> np.ndarray:
        """Level of each clip, shape (n_clips,), in dB as the frames: of its bands the median.

        A gain moves it by as much, and a fault in a few bands hardly. NaN of images: each has its
        own scale.
        """
        if self.are_images:
            return np.full(len(self), np.nan)
        means = np.add.reduceat(self.frames, self.bounds[:-1], axis=0) / self.n_frames[:, None]
        return np.median(means, axis=1)

    @property
    def n_mels(self) -> int:
        """Number of mel bands."""
        return self.frames.shape[1]

    @property
    def n_frames(self) -> np.ndarray:
        """Frames of each clip, shape (n_clips,)."""
        return np.diff(self.bounds)

    def windows(self, length: int, hop: int, *, clips: Any = None, device: str = "cpu") -> Windows:
        """Cut clips into windows, without copying them.

        Parameters
        ----------
        length, hop : int
            Of the windows, in frames.
        clips : array-like of int, default=None
            Which clips, None for all.
        device : str, default="cpu"
            Where the batches are to be; the spectrograms go along where they fit.

        Returns
        -------
        Windows
            In the order of `clips`.
        """
        clips = np.arange(len(self)) if clips is None else np.asarray(clips)
        n_frames = self.n_frames[clips]
        # Placed once for each length there is: embeddings and equal clips come by the thousands.
        placed = {n: window_starts(n, length, hop) for n in np.unique(n_frames)}
        starts = [first + placed[n] for first, n in zip(self.bounds[clips], n_frames, strict=True)]
        with warnings.catch_warnings():  # torch warns of read-only memory, which memmaps are:
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            frames = torch.from_numpy(self.frames)  # it is never written to
        return Windows(
            frames=_to_device(frames, device),
            starts=torch.from_numpy(np.concatenate(starts)),
            clip=np.repeat(clips, [len(s) for s in starts]),
            length=length,
            device=device,
            source=self,
        )


def _to_device(frames: Tensor, device: str) -> Tensor:
    """Move spectrograms to a GPU that has room; else they stay, and batches travel."""
    if device == "cpu":
        return frames
    free, _ = torch.cuda.mem_get_info(device)
    n_bytes = frames.numel() * frames.element_size()
    return frames.to(device) if n_bytes < _GPU_SHARE * free else frames


@dataclass(frozen=True)
class Windows(Dataset):
    """Windows of `length` frames, made when they are asked for.

    Parameters
    ----------
    frames : Tensor of shape (n_frames_of_all, n_mels)
        Spectrograms end to end.
    starts : Tensor of shape (n_windows,), int64
        Row of `frames` at which each window starts.
    clip : ndarray of shape (n_windows,)
        The clip of each window.
    length : int
        In frames.
    device : str
        Where the batches are put.
    targets : Tensor of shape (n_windows, ...), default=None
        What a net is to make of each window; None asks for the window itself.
    source : Spectrograms, default=None
        Whose windows these are.

    Examples
    --------
    >>> X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # 2 clips, 3 bands, 4 frames
    >>> windows = Spectrograms.stack(X).windows(2, 1)
    >>> len(windows)
    6
    >>> windows[[3, 5]].shape
    torch.Size([2, 3, 2])
    """

    frames: Tensor
    starts: Tensor
    clip: np.ndarray
    length: int
    device: str = "cpu"
    targets: Tensor | None = None
    source: Spectrograms | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def aiming_at(self, targets: Any) -> Windows:
        """Give each window its clip's target.

        Parameters
        ----------
        targets : array-like of shape (n_clips, ...)
            Of *all* clips, such as labels or section numbers.

        Returns
        -------
        Windows
            The same ones, with `targets`.

        Examples
        --------
        >>> windows = Spectrograms.stack(np.zeros((2, 3, 4), np.float32)).windows(2, 2)
        >>> windows.aiming_at([7, 8]).targets
        tensor([7, 7, 8, 8])
        """
        return replace(self, targets=torch.as_tensor(np.asarray(targets)[self.clip]))

    def take(self, index: np.ndarray) -> Windows:
        """Pick windows, some of them perhaps more than once.

        Parameters
        ----------
        index : ndarray of int, shape (n_index,)
            Positions of windows.

        Returns
        -------
        Windows
            In the order of `index`, with their targets.

        Examples
        --------
        >>> windows = Spectrograms.stack(np.zeros((2, 3, 4), np.float32)).windows(2, 2)
        >>> windows.aiming_at([7, 8]).take(np.array([3, 0, 0])).targets
        tensor([8, 7, 7])
        """
        targets = None if self.targets is None else self.targets[index]
        return replace(self, starts=self.starts[index], clip=self.clip[index], targets=targets)

    @cached_property
    def digest(self) -> str:
        """What a cache knows the windows and their targets by."""
        targets = None if self.targets is None else self.targets.numpy()
        known = None if self.source is None else self.source.digest
        return joblib.hash((known, self.starts.numpy(), self.length, targets))

    def __getitem__(self, index: Any) -> Tensor:
        """Gather windows.

        Parameters
        ----------
        index : slice, list or Tensor of int
            Which ones.

        Returns
        -------
        Tensor of shape (n_index, n_mels, length), or (n_index, n_features) of embeddings
            Frame by frame in memory, so ``transpose(1, 2).flatten(1)`` is free.
        """
        rows = self.starts[index][:, None] + torch.arange(self.length)  # (batch, length)
        rows = rows.flatten().to(self.frames.device)
        # index_select copies whole rows; indexing with a matrix would go element by element.
        batch = self.frames.index_select(0, rows).to(self.device)
        if batch.dtype == torch.uint8:
            batch = batch.float() / 255
        if self.source is not None and self.source.are_rows:
            return batch
        return batch.view(-1, self.length, self.frames.shape[1]).transpose(1, 2)

    def whole_clips(self) -> Iterator[Tensor]:
        """Yield each clip that has windows, once.

        Yields
        ------
        Tensor of shape (n_mels, n_frames)
            What the clip's windows cover: all of it.
        """
        firsts = np.flatnonzero(np.diff(self.clip, prepend=-1))
        lasts = np.append(firsts[1:], len(self)) - 1
        for first, last in zip(self.starts[firsts], self.starts[lasts] + self.length, strict=True):
            yield self.frames[first:last].T

    def mean(self) -> Tensor:
        """Average all windows.

        Returns
        -------
        Tensor of shape (n_mels, length)
            On the CPU.
        """
        total = sum(batch.sum(dim=0, dtype=torch.float64) for batch in self.batches(4096))
        return torch.as_tensor(total / len(self), dtype=torch.float32).cpu()

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield all windows in order, `size` at a time.

        Parameters
        ----------
        size : int
            Windows in a batch; the last one may be smaller.

        Yields
        ------
        Tensor of shape (batch, n_mels, length)
            The windows.
        """
        for first in range(0, len(self), size):
            yield self[slice(first, first + size)]

    def full_batches(self, size: int) -> Iterator[tuple[Tensor, int]]:
        """Yield all windows in order, always `size` of them: the last one is repeated to fill up.

        Matrices of another size are multiplied in another order, and the last bit of a result
        with it: of batches of one size, a window's score does not depend on its company.

        Parameters
        ----------
        size : int
            Windows in a batch.

        Yields
        ------
        batch : Tensor of shape (size, n_mels, length)
            Windows.
        n_windows : int
            How many of them count.

        Examples
        --------
        >>> windows = Spectrograms.stack(np.zeros((2, 3, 4), np.float32)).windows(2, 2)
        >>> [(len(batch), n) for batch, n in windows.full_batches(3)]
        [(3, 3), (3, 1)]
        """
        for first in range(0, len(self), size):
            index = torch.arange(first, first + size).clamp_(max=len(self) - 1)
            yield self[index], min(size, len(self) - first)


def overlap_add(parts: Iterable[tuple[Tensor, Tensor]], n_mels: int, n_frames: int) -> np.ndarray:
    """Average maps of windows where they overlap.

    Parameters
    ----------
    parts : iterable of (maps, starts)
        Maps of some windows of a clip, (n_windows, n_mels, length), and the frame at which each
        of these windows starts, (n_windows,).
    n_mels, n_frames : int
        Of the clip.

    Returns
    -------
    ndarray of shape (n_mels, n_frames), float32
        The mean over the windows at each frame; frames outside every window are 0.

    Examples
    --------
    >>> overlap_add([(torch.ones(2, 1, 2), torch.tensor([0, 1]))], 1, 3)
    array([[1., 1., 1.]], dtype=float32)
    """
    total = torch.zeros(n_frames, n_mels)
    count = torch.zeros(n_frames, 1)
    for maps, starts in parts:
        length = maps.shape[2]
        rows = (starts[:, None] + torch.arange(length)).flatten()
        total.index_add_(0, rows, maps.transpose(1, 2).reshape(-1, n_mels).cpu())
        count.index_add_(0, rows, torch.ones(len(rows), 1))
    return (total / count.clamp_min_(1)).T.numpy()
