"""Trained nets that are found again in the place of being trained again."""

from __future__ import annotations

from typing import Any

import joblib
import torch
from sklearn.utils.validation import check_memory

import sklasd
from sklasd.training._train_net import train_net
from sklasd.training._window_net import WindowNet
from sklasd.training._windows import Windows
from sklasd.utils._seeds import draw_seed


def open_cache(estimator: Any, data: Any, *by: Any) -> tuple[joblib.Memory, str]:
    """Tell where an estimator's results are cached, and under which key.

    Parameters
    ----------
    estimator : estimator
        With the parameters `memory` and `random_state`.
    data : object
        With a `digest`: what is computed from.
    *by : object
        What else the result depends on.

    Returns
    -------
    memory : joblib.Memory
        One that keeps nothing where nothing is to be kept.
    key : str
        Of an upgrade of this package or of torch, too, so that no net of old code is served.
    """
    # Without a seed every training is another one, and none may come from the cache.
    memory = check_memory(None if estimator.random_state is None else estimator.memory)
    if getattr(memory, "store_backend", memory) is None:  # nothing is kept: hash nothing
        return memory, ""
    versions = (sklasd.__version__, torch.__version__)
    return memory, joblib.hash((data.digest, by, versions))


def train_cached(estimator: Any, net: WindowNet, windows: Windows) -> WindowNet:
    """Train a net, settle it, and cache it; or find it in the cache.

    Parameters
    ----------
    estimator : estimator
        With the parameters `memory`, `random_state` and `verbose`.
    net : WindowNet
        Unfitted.
    windows : Windows
        To learn from.

    Returns
    -------
    WindowNet
        As from `train_net`.
    """
    memory, key = open_cache(estimator, windows)
    train = memory.cache(train_net, ignore=["windows", "verbose"])
    return train(net, windows, draw_seed(estimator.random_state), bool(estimator.verbose), key)
