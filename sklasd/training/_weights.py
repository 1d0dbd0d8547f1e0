"""Weights of others: read from a file, checked against the net that is to have them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_NAMED = 3  # keys of each kind that an error names
_COUNTER = ".num_batches_tracked"  # which old checkpoints lack, and nobody needs


def load_weights(
    path: str | os.PathLike[str], expected: Mapping[str, Tensor], *, head: str
) -> dict[str, np.ndarray]:
    """Read a state dict, and leave its head out.

    Parameters
    ----------
    path : path
        A file that `torch.save` made of a state dict. Nothing but tensors is read from it.
    expected : mapping of str to Tensor
        The state dict of a net whose weights these are to become; it may be on the meta device.
    head : str
        What the names of the last layers start with: their shapes may be others.

    Returns
    -------
    dict of str to ndarray
        All of `expected` but the head.

    Raises
    ------
    ValueError
        Where there is no such file, or it holds something else; it lists what does not fit.
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
    # Only counters may be missing; they start at 0.
    counters = {n: torch.zeros(x.shape, dtype=x.dtype) for n, x in wanted.items() if n not in found}
    return {name: (found | counters)[name].cpu().numpy() for name in wanted}


def differences(
    expected: Mapping[str, Tensor], found: Mapping[str, Any], *, optional: tuple[str, ...] = ()
) -> str:
    """Say in what a state dict differs from that of a net.

    Parameters
    ----------
    expected : mapping of str to Tensor
        The net's.
    found : mapping of str to Tensor
        That of a file.
    optional : tuple of str, default=()
        What names may start with that need not be there.

    Returns
    -------
    str
        How many names are missing, unexpected, or of another shape, and the first of each; empty
        where the weights are those of the net.

    Examples
    --------
    >>> differences({"a": torch.zeros(2), "b": torch.zeros(2)}, {"a": torch.zeros(3)})
    '1 missing (b); 1 of another shape (a (3,) in the place of (2,))'
    """
    faults = {
        "missing": [
            name
            for name in expected
            if name not in found and not name.startswith(optional) and not name.endswith(_COUNTER)
        ],
        "unexpected": [str(name) for name in found if name not in expected],
        "of another shape": [
            f"{name} {tuple(np.shape(found[name]))} in the place of {tuple(x.shape)}"
            for name, x in expected.items()
            if name in found and np.shape(found[name]) != x.shape
        ],
    }
    return "; ".join(_tell(kind, names) for kind, names in faults.items() if names)


@lru_cache(maxsize=1)
def _read(file: Path, given: str, size: int, mtime: int) -> dict[str, Tensor]:
    """Read a file of tensors by name, once for all folds: another one has another time or size."""
    named = f"Got weights={given!r}"
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of a file that is no checkpoint, torch raises anything
        raise ValueError(
            f"{named}, which is no file of tensors; pass one that torch.save(net.state_dict(), "
            "...) has made."
        ) from error
    if not _is_state(state):
        keys = f" of {list(state)[:_NAMED]}" if isinstance(state, Mapping) else ""
        raise ValueError(
            f"{named}, which holds no state dict, but a {type(state).__name__}{keys}; pass a file "
            "that holds the state dict by itself."
        )
    return state


def _is_state(state: Any) -> bool:
    return isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(x, Tensor) for name, x in state.items()
    )


def _tell(kind: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} {kind} ({', '.join(names[:_NAMED])}{more})"
