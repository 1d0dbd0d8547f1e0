"""Pretrained weights: read from a file, and checked against the net that gets them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklasd.utils._lists import name_some

_N_NAMED = 3  # names of each kind in a message
_COUNTER = ".num_batches_tracked"  # missing in old checkpoints, and not needed


def load_weights(
    path: str | os.PathLike[str], expected: Mapping[str, Tensor], *, head: str
) -> dict[str, np.ndarray]:
    """Read a state dict without its head.

    Parameters
    ----------
    path : path
        A file that `torch.save` wrote of a state dict. Only tensors are read from it.
    expected : mapping of str to Tensor
        State dict of the net that gets the weights; it may be on the meta device.
    head : str
        Prefix of the names of the last layers, whose shapes may differ.

    Returns
    -------
    dict of str to ndarray
        All of `expected` but the head.

    Raises
    ------
    ValueError
        When there is no such file, or when it holds something else; the message lists what does
        not fit.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise ValueError(
            f"Got weights={os.fspath(path)!r}, where there is no file; check the path."
        )
    status = file.stat()
    state = _read(file, os.fspath(path), status.st_size, status.st_mtime_ns)
    found = {name: x for name, x in state.items() if not name.startswith(head)}
    wanted = {name: x for name, x in expected.items() if not name.startswith(head)}
    if wrong := differences(wanted, found):
        raise ValueError(
            f"Got weights={os.fspath(path)!r}, which are those of another net: {wrong}. "
            f"Pass a state dict with the {len(wanted)} names and shapes of this net."
        )
    # Only counters can be missing here; they start at 0.
    counters = {n: torch.zeros(x.shape, dtype=x.dtype) for n, x in wanted.items() if n not in found}
    return {name: (found | counters)[name].cpu().numpy() for name in wanted}


def differences(
    expected: Mapping[str, Tensor], found: Mapping[str, Any], *, optional: tuple[str, ...] = ()
) -> str:
    """List how a state dict differs from that of a net.

    Examples
    --------
    >>> differences({"a": torch.zeros(2), "b": torch.zeros(2)}, {"a": torch.zeros(3)})
    '1 missing (b); 1 of another shape (a (3,) instead of (2,))'
    """
    faults = {
        "missing": [
            name
            for name in expected
            if name not in found and not name.startswith(optional) and not name.endswith(_COUNTER)
        ],
        "unexpected": [str(name) for name in found if name not in expected],
        "of another shape": [
            f"{name} {tuple(np.shape(found[name]))} instead of {tuple(x.shape)}"
            for name, x in expected.items()
            if name in found and np.shape(found[name]) != x.shape
        ],
    }
    return "; ".join(
        f"{len(names)} {kind} ({name_some(names, _N_NAMED)})"
        for kind, names in faults.items()
        if names
    )


@lru_cache(maxsize=1)
def _read(file: Path, given: str, size: int, mtime: int) -> dict[str, Tensor]:
    """Read a file of tensors by name."""
    # Cached for all folds of a fit; size and time are in the key, so that a new file is read.
    named = f"Got weights={given!r}"
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for files that are no checkpoints
        raise ValueError(
            f"{named}, which is no file of tensors; pass one that torch.save(net.state_dict(), "
            "...) has made."
        ) from error
    if not _is_state(state):
        keys = f" of {list(state)[:_N_NAMED]}" if isinstance(state, Mapping) else ""
        raise ValueError(
            f"{named}, which holds no state dict, but a {type(state).__name__}{keys}; pass a file "
            "that holds the state dict by itself."
        )
    return state


def _is_state(state: Any) -> bool:
    return isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(x, Tensor) for name, x in state.items()
    )
