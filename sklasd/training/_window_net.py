"""A skorch net that learns from windows over clips."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor
from torch.optim.swa_utils import update_bn

from sklasd.training._windows import Windows
from sklasd.utils._progress import progress_bar

# torch's generator belongs to the process: fits in threads of one process take turns.
_GENERATOR = threading.RLock()


class WindowLoader:
    """Batches of windows as (input, target); the target of an autoencoder is its input.

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
    """

    def __init__(
        self, windows: Windows, batch_size: int, shuffle: bool = False, drop_last: bool = False
    ) -> None:
        self.windows = windows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last

    def __len__(self) -> int:
        n_full, rest = divmod(len(self.windows), self.batch_size)
        return n_full + ((rest > 1 and not self.drop_last) or n_full == 0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n_windows = len(self.windows)
        order = torch.randperm(n_windows) if self.shuffle else torch.arange(n_windows)
        for index in order.split(self.batch_size)[: len(self)]:
            batch = self.windows[index]
            yield batch, batch


class Watch(Callback):
    """Show progress, stop on a loss that is not finite, and keep the history small.

    Parameters
    ----------
    verbose : bool, default=True
        Show a bar where a person watches.
    """

    def __init__(self, verbose: bool = True) -> None:
        self.verbose = verbose

    def on_train_begin(self, net: NeuralNet, X: Windows | None = None, **kwargs: Any) -> None:
        """Open the bar, one step per batch of all epochs."""
        n_batches = len(net.get_iterator(net.get_dataset(X), training=True))
        self.bar_ = progress_bar(
            n_batches * net.max_epochs, desc="training", unit="batch", verbose=self.verbose
        )

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Move the bar, unless something that is recorded is no number any more."""
        self.bar_.update()
        steps = net.history[-1]["batches"]
        for name, value in steps[-1].items():
            if not np.isfinite(value):
                self.bar_.close()
                raise FloatingPointError(
                    f"The {name.replace('_', ' ')} is {value} in step {len(steps)} of epoch "
                    f"{len(net.history)} of {net.max_epochs} (lr={net.lr}, "
                    f"batch_size={net.batch_size}); lower lr, or scale the input."
                )

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Forget the epoch's batches, which would be pickled for ever."""
        epoch = net.history[-1]
        epoch["batches"] = []
        self.bar_.set_postfix(
            loss=f"{epoch['train_loss']:.4g}", epoch=f"{len(net.history)}/{net.max_epochs}"
        )

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Take the bar away; an open one cannot be pickled."""
        self.bar_.close()
        del self.bar_


def window_net(
    module: type,
    *,
    criterion: type,
    net: type[NeuralNet] = NeuralNet,
    verbose: bool = True,
    **params: Any,
) -> NeuralNet:
    """Make an unfitted skorch net that trains on `Windows`.

    Parameters
    ----------
    module : type
        The torch module.
    criterion : type
        Its loss, called with the module's output and the input batch.
    net : type, default=skorch.NeuralNet
        The training loop.
    verbose : bool, default=True
        Show a bar where a person watches.
    **params
        Further parameters of `skorch.NeuralNet`: lr, batch_size, max_epochs, device, module__*.

    Returns
    -------
    NeuralNet
        With Adam, all data used for training and nothing printed.

    Examples
    --------
    >>> from torch import nn
    >>> net = window_net(nn.Identity, criterion=nn.MSELoss, lr=1e-3, max_epochs=2)
    >>> net.max_epochs
    2
    """
    settings: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "optimizer__fused": True,
        "iterator_train": WindowLoader,
        "iterator_train__shuffle": True,
        "train_split": None,
        "callbacks": [("watch", Watch(verbose))],
        "callbacks__print_log": None,
        "verbose": 0,
    }
    return net(module, criterion=criterion, **(settings | params))


def settle_batch_norm(net: NeuralNet, windows: Windows) -> None:
    """Set the statistics of batch normalisation to those of the whole training data.

    Running averages lag behind the weights, and after few steps still remember their start, so
    that a net would score by other statistics than it was trained with.

    Parameters
    ----------
    net : NeuralNet
        After ``fit``; unchanged where it has no batch normalisation.
    windows : Windows
        What it was trained on, drawn in random order.
    """
    update_bn(WindowLoader(windows, net.batch_size, shuffle=True), net.module_)


def is_complete(net: NeuralNet) -> bool:
    """Tell whether training reached its last epoch, or was interrupted from the keyboard.

    Parameters
    ----------
    net : NeuralNet
        After ``fit``.

    Returns
    -------
    bool
        False after an interruption.
    """
    return len(net.history) == net.max_epochs and "train_loss" in net.history[-1]


def slim(net: NeuralNet) -> NeuralNet:
    """Leave what scoring needs: weights on the CPU, and the loss of each epoch.

    Parameters
    ----------
    net : NeuralNet
        After ``fit``.

    Returns
    -------
    NeuralNet
        The same one. Its pickle has a third of the size (Adam keeps two numbers per weight), and
        loads where there is no GPU.
    """
    net.module_.to("cpu").eval()
    net.device = "cpu"
    for optimizer in (getattr(net, name + "_") for name in net._optimizers):
        optimizer.state.clear()
        optimizer.zero_grad(set_to_none=True)
    return net


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Draw from a generator of one's own, by deterministic algorithms.

    Parameters
    ----------
    seed : int
        For torch's generators, whose state is put back afterwards.
    device : str
        Where the computation is.

    Examples
    --------
    >>> with seeded(0, "cpu"):
    ...     a = torch.rand(1)
    >>> with seeded(0, "cpu"):
    ...     b = torch.rand(1)
    >>> bool(a == b)
    True
    """
    on_gpu = torch.device(device).type == "cuda"
    with ExitStack() as stack:
        stack.enter_context(_GENERATOR)
        stack.enter_context(torch.random.fork_rng(devices=[device] if on_gpu else []))
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            stack.enter_context(torch.cuda.device(device))
            torch.cuda.manual_seed(seed)
            cudnn = torch.backends.cudnn
            stack.enter_context(cudnn.flags(enabled=True, benchmark=False, deterministic=True))
        yield


@contextmanager
def exact(device: str) -> Iterator[None]:
    """Multiply in single precision on a GPU, too, where torch would take TF32 for convolutions.

    Parameters
    ----------
    device : str
        Where the computation is.

    Examples
    --------
    >>> with exact("cpu"):
    ...     torch.ones(2) @ torch.ones(2)
    tensor(2.)
    """
    if torch.device(device).type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield
