"""A cache of trained nets."""

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
    """Return the cache of an estimator, and the key of its results.

    Parameters
    ----------
    estimator : estimator
        With the parameters `memory` and `random_state`.
    data : object
        Data of the computation, with a `digest`.
    *by : object
        Everything else that the result depends on.

    Returns
    -------
    memory : joblib.Memory
        One that stores nothing if the estimator has no `memory` or no seed.
    key : str
        Depends on the versions of this package and of torch, too: after an upgrade, nets are
        trained anew.
    """
    # Without a seed every training differs, so none may come from the cache.
    memory = check_memory(None if estimator.random_state is None else estimator.memory)
    if getattr(memory, "store_backend", memory) is None:  # hashing the data would be in vain
        return memory, ""
    versions = (sklasd.__version__, torch.__version__)
    return memory, joblib.hash((data.digest, by, versions))


def train_cached(estimator: Any, net: WindowNet, windows: Windows) -> WindowNet:
    """Train and settle a net, or load it from the cache.

    Parameters
    ----------
    estimator : estimator
        With the parameters `memory`, `random_state` and `verbose`.
    net : WindowNet
        Unfitted.
    windows : Windows
        Training windows.

    Returns
    -------
    WindowNet
        As from `train_net`.
    """
    memory, key = open_cache(estimator, windows)
    # The key stands for the windows, which would be hashed for every call.
    train = memory.cache(train_net, ignore=["windows", "verbose"])
    return train(net, windows, draw_seed(estimator.random_state), bool(estimator.verbose), key)
