"""Compute with a given number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def limit_threads(n_threads: int | None) -> Iterator[None]:
    """Let torch, BLAS and OpenMP compute with a number of threads; None changes nothing.

    Examples
    --------
    >>> import torch
    >>> with limit_threads(1):
    ...     torch.get_num_threads()
    1
    """
    if n_threads is None:
        yield
        return
    import torch  # takes seconds, which None should not cost

    before = torch.get_num_threads()
    with threadpool_limits(n_threads):
        torch.set_num_threads(n_threads)  # threadpoolctl does not see torch's own MKL
        try:
            yield
        finally:
            torch.set_num_threads(before)
