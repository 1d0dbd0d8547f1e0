"""Layers of a PANN averaged over a clip of any length, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sklasd.nets._panns import PANN
from sklasd.nets._panns_blocks import N_MELS

_STEP = 32  # frames for each column of the last map


class Segment(NamedTuple):
    """The frames of a clip that the net sees together, and those of them that count."""

    start: int
    stop: int
    first: int
    last: int | None  # None counts to the end of each map


def cut_segments(n_frames: int, n_at_once: int, context: int) -> Iterator[Segment]:
    """Cut a clip so that the maps of the segments, put together, are those of the clip.

    Examples
    --------
    >>> [segment[:2] for segment in cut_segments(1000, 320, 32)]
    [(0, 288), (224, 544), (480, 1000)]
    """
    n_counted = max(n_at_once - 2 * context, 2 * context) // _STEP * _STEP
    n_segments = 1 if n_frames <= n_at_once else max(1, n_frames // n_counted)
    for first in range(0, n_segments * n_counted, n_counted):
        last = first + n_counted
        start = max(0, first - context)
        if last == n_segments * n_counted:
            yield Segment(start, n_frames, first, None)
        else:
            yield Segment(start, min(n_frames, last + context), first, last)


class _Sums:
    """Mean and maximum over time of a map in pieces, averaged over frequency."""

    def __init__(self) -> None:
        self.count = 0
        self.total = torch.zeros(())
        self.peak = torch.tensor(-torch.inf)

    def add(self, x: Tensor, segment: Segment) -> None:
        """Add the frames of a segment's map that count, (B, C, T, M)."""
        per_column = N_MELS // x.shape[3]  # frames per column: both sides were halved as often
        stop = None if segment.last is None else (segment.last - segment.start) // per_column
        counted = x[:, :, (segment.first - segment.start) // per_column : stop]
        # In single precision even for bf16: sums over a minute would lose most digits.
        in_time = counted.mean(dim=3, dtype=torch.float32)  # (B, C, T)
        self.count += in_time.shape[2]
        self.total = self.total.to(x.device) + in_time.sum(dim=2)
        self.peak = torch.maximum(self.peak.to(x.device), in_time.amax(dim=2))

    @property
    def mean(self) -> Tensor:
        """The mean, (B, C)."""
        return self.total / self.count


class PooledPANN(nn.Module):
    """A clip's embedding from one kind of layer.

    A long clip is cut into segments, each with so much context that its maps are those of the whole
    clip: the embedding is the same but for rounding.

    Parameters
    ----------
    net : PANN
        From `freeze`.
    layers : {"blocks", "embedding", "logits"}
        The mean of each block's map over time and frequency; or the values after the first or the
        second matrix of the head.
    n_at_once : int
        Greatest number of frames that are not cut.

    Notes
    -----
    Shape: (B, T, M) decibels → (B, n_features).

    Examples
    --------
    >>> from sklasd.nets._panns import Cnn6, freeze
    >>> PooledPANN(freeze(Cnn6()), "embedding", 1000)(torch.zeros(1, 16, 64)).shape
    torch.Size([1, 512])
    """

    def __init__(self, net: PANN, layers: str, n_at_once: int) -> None:
        super().__init__()
        self.net = net
        self.layers = layers
        self.n_at_once = n_at_once

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_features) of (B, T, M) decibels."""
        segments = list(cut_segments(x.shape[1], self.n_at_once, self.net.context))
        if self.layers == "blocks":
            return self._means(x, segments)
        top = _Sums()
        for segment in segments:
            # A deque of one drops each map when the next one comes, so that memory holds only one.
            ((_, last),) = deque(self._blocks(x, segment), maxlen=1)
            top.add(self.net.top(last), segment)
        embedding, logits = self.net.head(top.peak + top.mean)
        return embedding if self.layers == "embedding" else logits

    def _means(self, x: Tensor, segments: list[Segment]) -> Tensor:
        blocks: dict[str, _Sums] = {}
        for segment in segments:
            for name, found in self._blocks(x, segment):
                blocks.setdefault(name, _Sums()).add(found, segment)
        return torch.cat([block.mean for block in blocks.values()], dim=1)

    def _blocks(self, x: Tensor, segment: Segment) -> Iterator[tuple[str, Tensor]]:
        seen = self.net.normalise(x[:, segment.start : segment.stop])
        seen = seen.to(self.net.dtype, memory_format=torch.channels_last)
        return self.net.blocks(seen)
