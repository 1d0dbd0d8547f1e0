"""Train a net, settle its statistics, and reduce it to what scoring needs."""

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
    """Train a net; the result depends on `net`, `seed` and `key` only, so joblib can cache it.

    `seed` is that of weights, order and whatever the net draws; `key` stands for the windows and
    the code in a cache. The net comes back settled and slim. FloatingPointError tells that the loss
    is not finite any more.
    """
    net.set_params(callbacks__watch__verbose=verbose)
    with seeded(seed, net.device):
        net.fit(windows)
        _settle(net, windows)
    return slim(net)


def _settle(net: WindowNet, windows: Windows) -> None:
    """Set moving statistics to those of the trained weights.

    A module with statistics of its own, such as a moving codebook, has a method ``settle``, which
    gets batches in random order. In other modules batch normalisation is settled. A loss with
    statistics of its own, such as moving centres, has a method ``settle``, which gets the outputs
    of the settled module and the targets.
    """
    # By the loader of the training: balanced batches have other statistics than all windows.
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
    """Yield the module's outputs of all windows, and their targets."""
    targets = windows.targets
    # Not by the loader, which leaves out a single last window.
    for index in torch.arange(len(windows)).split(net.batch_size):
        x = windows[index]
        yield net.module_(x), x if targets is None else targets[index].to(x.device)


@torch.no_grad()
def settle_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of batch normalisation to those of the whole training data.

    Running averages lag behind the weights, and after few steps they still depend on their initial
    values, so that a net would score by other statistics than it was trained with.
    """
    # Only the normalisations are in training mode: nothing is dropped, and no codebook moves.
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
    """Reduce a fitted net to what scoring needs, in place, and return it."""
    # Weights go to the CPU, so that a pickle loads where there is no GPU. A loss may have learnt
    # something, too, such as centres.
    for module in (net.module_, net.criterion_):
        module.to("cpu").eval()
    net.device = "cpu"
    # Adam stores two numbers for each weight: without them a pickle has a third of the size.
    for optimizer in (getattr(net, name + "_") for name in net._optimizers):
        optimizer.state.clear()
        optimizer.zero_grad(set_to_none=True)
    return net
