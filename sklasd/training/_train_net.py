"""Train one net from the first weights to what scoring needs; what a cache keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sklasd.training._modes import seeded
from sklasd.training._window_net import WindowNet
from sklasd.training._windows import Windows


def train_net(net: WindowNet, windows: Windows, seed: int, verbose: bool, key: str) -> WindowNet:
    """Train a net; a function of `net`, `seed` and `key` alone, so that joblib can cache it.

    Parameters
    ----------
    net : WindowNet
        Unfitted.
    windows : Windows
        To learn from.
    seed : int
        Of weights, order and whatever the net draws.
    verbose : bool
        Show a bar where a person watches.
    key : str
        What stands for the windows, and for the code that runs, in a cache.

    Returns
    -------
    WindowNet
        Fitted, settled and slim.

    Raises
    ------
    FloatingPointError
        When the loss stops being finite.
    """
    net.set_params(callbacks__watch__verbose=verbose)
    with seeded(seed, net.device):
        net.fit(windows)
        _settle(net, windows)
    return slim(net)


def _settle(net: WindowNet, windows: Windows) -> None:
    """Set statistics that followed the training to those of the trained weights.

    A module with statistics of its own, such as a moving codebook, knows best: its method
    ``settle`` gets batches in random order. Else only batch normalisation is settled. A loss with
    statistics of its own, such as moving centres, gets the settled module's outputs and the
    targets.
    """
    # By the loader of the training: a balanced one shows its statistics, not those of all windows.
    batches = (x for x, _ in net.iterator_train(windows, net.batch_size, shuffle=True))
    rule = getattr(net.module_, "settle", None)
    if rule is None:
        settle_batch_norm(net.module_, batches)
    else:
        rule(batches)
    if hasattr(net.criterion_, "settle"):
        net.criterion_.settle(_outputs(net, windows))


@torch.no_grad()
def _outputs(net: WindowNet, windows: Windows) -> Iterator[tuple[Any, Tensor]]:
    """Yield what the module makes of all windows, and what it was to make of them."""
    targets = windows.targets
    for index in torch.arange(len(windows)).split(net.batch_size):  # a single last window, too
        x = windows[index]
        yield net.module_(x), x if targets is None else targets[index].to(x.device)


@torch.no_grad()
def settle_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of batch normalisation to those of the whole training data.

    Running averages lag behind the weights, and after few steps still remember their start, so
    that a net would score by other statistics than it was trained with. Nothing else that changes
    in training mode does so here.

    Parameters
    ----------
    module : Module
        Left in evaluation mode; unchanged where it has no batch normalisation.
    batches : iterable of Tensor
        What it was trained on, in random order.
    """
    module.eval()
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
        norm.train()
    for batch in batches if norms else ():
        module(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def slim(net: WindowNet) -> WindowNet:
    """Leave what scoring needs: weights on the CPU, and the loss of each epoch.

    Parameters
    ----------
    net : WindowNet
        After ``fit``.

    Returns
    -------
    WindowNet
        The same one. Its pickle has a third of the size (Adam keeps two numbers per weight), and
        loads where there is no GPU.
    """
    for module in (net.module_, net.criterion_):  # a loss may have learnt something, too
        module.to("cpu").eval()
    net.device = "cpu"
    for optimizer in (getattr(net, name + "_") for name in net._optimizers):
        optimizer.state.clear()
        optimizer.zero_grad(set_to_none=True)
    return net
