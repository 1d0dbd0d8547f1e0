"""Batches of windows, gathered by index."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sklasd.training._windows import Windows

_ITERATIONS_PER_EPOCH = 100  # where training is counted in iterations: one value of the loss curve


def count_epochs(n_iterations: int) -> int:
    """Count the epochs that a `WindowLoader` makes of a number of iterations.

    Parameters
    ----------
    n_iterations : int
        Batches in all.

    Returns
    -------
    int
        Of 100 batches each; the last one may have fewer.

    Examples
    --------
    >>> count_epochs(250)
    3
    """
    return -(-n_iterations // _ITERATIONS_PER_EPOCH)


class WindowLoader:
    """Batches of windows as (input, target); without targets, the target is the input.

    A batch is gathered by one index operation: no Python runs per window, as it would in
    `torch.utils.data.DataLoader`.

    Parameters
    ----------
    windows : Windows
        What to draw from.
    batch_size : int
        Windows in a batch. The last, smaller one is kept, unless it is a single window, of which
        batch normalisation can make no statistics.
    shuffle : bool, default=False
        Draw in a new random order each time, from torch's generator.
    drop_last : bool, default=False
        Leave the last, smaller batch out, unless it is the only one.
    n_iterations : int, default=None
        Batches in all: passes over the windows follow each other, and an "epoch" is the next 100
        batches of them. None makes an epoch of each pass.
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
        self._endless: Iterator[Tensor] | None = None

    def __len__(self) -> int:
        return self._n_per_pass if self.n_left is None else min(self.n_left, _ITERATIONS_PER_EPOCH)

    @property
    def _n_per_pass(self) -> int:
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

    def _next_iterations(self) -> Iterator[Tensor]:
        """Go on where the last epoch stopped, in the middle of a pass."""
        if self._endless is None:
            self._endless = (index for _ in iter(int, 1) for index in self._pass())
        for _ in range(len(self)):
            yield next(self._endless)
        self.n_left = max(0, (self.n_left or 0) - _ITERATIONS_PER_EPOCH)


class BalancedLoader(WindowLoader):
    """Batches of which exactly one half has the target 1, and the other one the target 0.

    A pass goes once over the windows with the target 1. Those with the target 0 go round
    independently of it, each as often as any other: the next round starts when all were drawn.

    Parameters
    ----------
    windows : Windows
        With `targets` of 0 and 1.
    batch_size : int
        Windows in a batch; of an odd number one less. The last, smaller batch of a pass is kept.
    shuffle, n_iterations
        As in `WindowLoader`.
    """

    @property
    def _n_per_pass(self) -> int:
        return -(-int(self._targets().sum()) // (self.batch_size // 2))

    def _targets(self) -> Tensor:
        assert self.windows.targets is not None
        return self.windows.targets

    def _pass(self) -> Iterator[Tensor]:
        half = self.batch_size // 2
        first = self._mix(torch.nonzero(self._targets() == 1).ravel())
        others = torch.nonzero(self._targets() == 0).ravel()
        pool = others[:0]
        for some in first.split(half):
            while len(pool) < len(some):
                pool = torch.cat([pool, self._mix(others)])
            yield torch.cat([some, pool[: len(some)]])
            pool = pool[len(some) :]

    def _mix(self, index: Tensor) -> Tensor:
        return index[torch.randperm(len(index))] if self.shuffle else index
