"""Weights of others: read from a file, checked against the net that is to have them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Collection, Mapping
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
        The state dict of a net whose weights these are to become.
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
    state = _read(path)
    found = {name: x for name, x in state.items() if not name.startswith(head)}
    wanted = {name: x for name, x in expected.items() if not name.startswith(head)}
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    unexpected = [name for name in state if name not in expected]
    others = [
        f"{name} {tuple(found[name].shape)} in the place of {tuple(x.shape)}"
        for name, x in wanted.items()
        if name in found and found[name].shape != x.shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": others}
    wrong = [_tell(kind, names) for kind, names in kinds.items() if names]
    if wrong:
        raise ValueError(
            f"Got weights={os.fspath(path)!r}, which are those of another net: {'; '.join(wrong)}. "
            f"Pass a state dict with the {len(wanted)} names and shapes of this net."
        )
    return {name: found.get(name, x).cpu().numpy() for name, x in wanted.items()}


def _read(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a file of tensors by name."""
    named = f"Got weights={os.fspath(path)!r}"
    if not os.path.isfile(path):
        raise ValueError(f"{named}, where there is no file; check the path.")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{named}, which is no file of tensors; pass one that torch.save(net.state_dict(), "
            "...) has made."
        ) from error
    if not _is_state(state):
        raise ValueError(f"{named}, which holds no state dict, but a {type(state).__name__}.")
    return state


def _is_state(state: Any) -> bool:
    return isinstance(state, Mapping) and all(isinstance(x, Tensor) for x in state.values())


def _tell(kind: str, names: Collection[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} {kind} ({', '.join(list(names)[:_NAMED])}{more})"
