"""Modes of torch: with its own seed, and with exact multiplications."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

# torch has one generator for the process, so fits in several threads have to take turns.
_GENERATOR = threading.RLock()


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch's generators, use deterministic algorithms, and restore both afterwards.

    Parameters
    ----------
    seed : int
        Seed of the generators.
    device : str
        Device of the computation.

    Examples
    --------
    >>> with seeded(0, "cpu"):
    ...     a = torch.rand(1)
    >>> with seeded(0, "cpu"):
    ...     b = torch.rand(1)
    >>> bool(a == b)
    True
    """
    # cudnn would pick the fastest algorithm by a trial, and not the same one each time.
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
    """Multiply in single precision on a GPU, where torch uses TF32 for convolutions by default.

    Parameters
    ----------
    device : str
        Device of the computation.

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
