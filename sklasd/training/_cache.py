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

    The estimator has the parameters `memory` and `random_state`; `data` has a `digest`; `by` says
    what else the result depends on. Returns a memory, which keeps nothing where nothing may be
    kept, and the key, which also depends on the versions of sklasd and torch.
    """
    # Without a seed every training differs, so none may come from the cache.
    memory = check_memory(None if estimator.random_state is None else estimator.memory)
    if getattr(memory, "store_backend", memory) is None:  # hashing the data would be in vain
        return memory, ""
    versions = (sklasd.__version__, torch.__version__)
    return memory, joblib.hash((data.digest, by, versions))


def train_cached(estimator: Any, net: WindowNet, windows: Windows) -> WindowNet:
    """Train and settle a net, or load it from the cache.

    The estimator has the parameters `memory`, `random_state` and `verbose`; the net is not fitted.
    """
    memory, key = open_cache(estimator, windows)
    # The key stands for the windows, which would be hashed for every call.
    train = memory.cache(train_net, ignore=["windows", "verbose"])
    return train(net, windows, draw_seed(estimator.random_state), bool(estimator.verbose), key)
