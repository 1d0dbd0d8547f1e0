"""A skorch net that learns from windows of clips."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

from sklasd.training._loader import ITERATIONS_PER_EPOCH, WindowLoader
from sklasd.training._windows import Windows
from sklasd.utils._progress import progress_bar


class WindowNet(NeuralNet):
    """A skorch net whose module may start from data, and whose training can be interrupted.

    Parameters
    ----------
    module : type
        A torch module whose constructor takes plain numbers and names.
    *args, **kwargs
        As in `skorch.NeuralNet`.
    initial_state : dict of str to ndarray, default=None
        Arguments of the module's method ``set_initial_state``, which is called once the module is
        made: means, ranges and the like.
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        initial_state: dict[str, np.ndarray] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, **kwargs)
        self.initial_state = initial_state

    def initialize_module(self) -> Self:
        """Make the module, and pass it what was learnt from data."""
        super().initialize_module()
        if self.initial_state is not None:
            self.module_.set_initial_state(
                **{name: torch.as_tensor(x) for name, x in self.initial_state.items()}
            )
        return self

    def partial_fit(self, X: Windows, y: Any = None, classes: Any = None, **params: Any) -> Self:
        """Train; unlike in skorch, a KeyboardInterrupt passes through."""
        # skorch catches Ctrl-C and returns the net as if it were trained: a cache would store it,
        # and a search would go on with the next fold.
        if not self.initialized_:
            self.initialize()
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **params)
        finally:
            self.notify("on_train_end", X=X, y=y)
        return self


class ComparingNet(WindowNet):
    """A net whose loss is called with the module's output, the input batch and the targets."""

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Any:
        """Return the loss of a batch."""
        return self.criterion_(y_pred, X, y_true)


class Watch(Callback):
    """Show progress, stop on a loss that is not finite, and keep the history small.

    Parameters
    ----------
    verbose : bool, default=True
        Show a progress bar in a terminal or notebook.
    """

    def __init__(self, verbose: bool = True) -> None:
        self.verbose = verbose

    def on_train_begin(self, net: NeuralNet, X: Windows | None = None, **kwargs: Any) -> None:
        """Open the bar, with one step for each batch of all epochs."""
        loader = net.get_iterator(net.get_dataset(X), training=True)
        n_batches = loader.n_left or len(loader) * net.max_epochs
        self.bar_ = progress_bar(n_batches, desc="training", unit="batch", verbose=self.verbose)

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Move the bar; refuse a loss that is not finite."""
        self.bar_.update()
        # Every recorded value counts: a critic can diverge while the generator's loss is finite.
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
        """Keep the epoch's mean loss only, and show it."""
        epoch = net.history[-1]
        epoch["batches"] = []  # skorch would pickle the losses of all batches with the net
        self.bar_.set_postfix(
            loss=f"{epoch['train_loss']:.4g}", epoch=f"{len(net.history)}/{net.max_epochs}"
        )

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()
        del self.bar_  # it cannot be pickled


def window_net(
    module: type,
    *,
    criterion: type,
    net: type[WindowNet] = WindowNet,
    max_iterations: int | None = None,
    **params: Any,
) -> WindowNet:
    """Make an unfitted skorch net that trains on `Windows`.

    Parameters
    ----------
    module : type
        The torch module.
    criterion : type
        Its loss, called with the module's output and the target: the input batch, or the windows'
        `targets`.
    net : type, default=WindowNet
        The training loop.
    max_iterations : int, default=None
        Length of the training in steps; it replaces `max_epochs`.
    **params
        Further parameters of `WindowNet`: lr, batch_size, max_epochs, device, module__*,
        initial_state.

    Returns
    -------
    WindowNet
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
        "optimizer__fused": True,  # one kernel updates all weights
        "iterator_train": WindowLoader,
        "iterator_train__shuffle": True,
        "train_split": None,  # skorch would hold out a fifth of the windows for validation
        "callbacks": [("watch", Watch())],
        "callbacks__print_log": None,  # `Watch` shows a bar, and nothing outside a terminal
        "verbose": 0,
    }
    if max_iterations is not None:
        params["max_epochs"] = -(-max_iterations // ITERATIONS_PER_EPOCH)  # the last may be short
        params["iterator_train__n_iterations"] = max_iterations
    return net(module, criterion=criterion, **(settings | params))
