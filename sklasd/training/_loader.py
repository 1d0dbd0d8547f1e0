"""Batches of windows, gathered by index."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sklasd.training._windows import Windows

# Where training is counted in iterations, this many make an "epoch": one value of the loss curve.
ITERATIONS_PER_EPOCH = 100


class WindowLoader:
    """Batches of windows as (input, target); without targets, the target is the input.

    A batch is gathered by one index operation: no Python runs per window, as it would in
    `torch.utils.data.DataLoader`.

    Parameters
    ----------
    windows : Windows
        Windows to draw from.
    batch_size : int
        Windows in a batch. The last, smaller one is kept, unless it is a single window: batch
        normalisation needs at least two.
    shuffle : bool, default=False
        Draw in a new random order each time, from torch's generator.
    drop_last : bool, default=False
        Leave the last, smaller batch out, unless it is the only one.
    n_iterations : int, default=None
        Number of batches in total: passes over the windows follow each other, and an "epoch" is
        the next 100 batches. None makes an epoch of each pass.
    """

    def __init__(
        self,
        windows: Windows,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        n_iterations: int | None = None,
    ) -> None:
        self.windows = windows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.n_left = n_iterations
        self._passes = self._repeat_passes()

    def __len__(self) -> int:
        return self._n_per_pass if self.n_left is None else min(self.n_left, ITERATIONS_PER_EPOCH)

    @property
    def _n_per_pass(self) -> int:
        # A rest of one window is left out, unless it is all there is.
        n_full, rest = divmod(len(self.windows), self.batch_size)
        return n_full + ((rest > 1 and not self.drop_last) or n_full == 0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        targets = self.windows.targets
        for index in self._pass() if self.n_left is None else self._next_iterations():
            batch = self.windows[index]
            yield batch, batch if targets is None else targets[index].to(batch.device)

    def _pass(self) -> Iterator[Tensor]:
        """Yield the indices of each batch of a pass over all windows."""
        n_windows = len(self.windows)
        order = torch.randperm(n_windows) if self.shuffle else torch.arange(n_windows)
        yield from order.split(self.batch_size)[: self._n_per_pass]

    def _repeat_passes(self) -> Iterator[Tensor]:
        while True:
            yield from self._pass()

    def _next_iterations(self) -> Iterator[Tensor]:
        # The generator outlives the epoch: the next one goes on in the middle of a pass.
        for _ in range(len(self)):
            yield next(self._passes)
        self.n_left = max(0, (self.n_left or 0) - ITERATIONS_PER_EPOCH)


class BalancedLoader(WindowLoader):
    """Batches with one half of target 1, and one half of target 0.

    A pass goes once over the windows of target 1. Those of target 0 rotate independently of it,
    each as often as any other: the next round starts when all were drawn.

    Parameters
    ----------
    windows : Windows
        With `targets` of 0 and 1, at least one of each.
    batch_size : int
        Windows in a batch; an odd number is reduced by one. The last, smaller batch of a pass is
        kept.
    shuffle, n_iterations
        As in `WindowLoader`.

    Raises
    ------
    ValueError
        When the windows have one target only, or a batch has no two halves.
    """

    def __init__(
        self,
        windows: Windows,
        batch_size: int,
        shuffle: bool = False,
        n_iterations: int | None = None,
    ) -> None:
        super().__init__(windows, batch_size, shuffle, n_iterations=n_iterations)
        targets = torch.empty(0) if windows.targets is None else windows.targets
        self._others, self._own = (torch.nonzero(targets == kind).ravel() for kind in (0, 1))
        # Without the other half a pass would never fill its first batch, or never start.
        missing = [
            str(kind) for kind, index in enumerate((self._others, self._own)) if not len(index)
        ]
        if missing:
            raise ValueError(
                f"Got {len(windows)} windows to balance, none of target {' or '.join(missing)}; "
                "pass clips of both kinds, or train with WindowLoader."
            )
        if batch_size < 2:
            raise ValueError(f"Got batch_size={batch_size}; two halves need at least 2 windows.")

    @property
    def _n_per_pass(self) -> int:
        return -(-len(self._own) // (self.batch_size // 2))

    def _pass(self) -> Iterator[Tensor]:
        # Shuffled rounds of the other half follow each other, whatever the batches are.
        pool = self._others[:0]
        for own in self._mix(self._own).split(self.batch_size // 2):
            while len(pool) < len(own):
                pool = torch.cat([pool, self._mix(self._others)])
            yield torch.cat([own, pool[: len(own)]])
            pool = pool[len(own) :]

    def _mix(self, index: Tensor) -> Tensor:
        return index[torch.randperm(len(index))] if self.shuffle else index
