"""How torch computes here: from a seed of one's own, and exactly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

# torch's generator belongs to the process: fits in threads of one process take turns.
_GENERATOR = threading.RLock()


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
