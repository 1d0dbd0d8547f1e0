"""The device that torch computes on."""

from __future__ import annotations


def check_device(device: str) -> str:
    """Resolve "auto", and check that a device ("cpu", "cuda", "cuda:1") exists.

    Examples
    --------
    >>> check_device("cpu")
    'cpu'
    """
    if device == "cpu":  # answered without torch: reading clips must not wait for its import
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f'Got device={device!r}; pass "auto", "cpu" or "cuda".') from error
    if kind not in {"cpu", "cuda"}:  # others are not tested, and some lack float64
        raise ValueError(f'Got device={device!r}; "cpu" and "cuda" are supported.')
    if kind == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise ValueError(
            f"Got device={device!r}, but torch {torch.__version__} finds no GPU; pass "
            'device="auto", or install a CUDA build of torch.'
        )
    return device
