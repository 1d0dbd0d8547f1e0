"""Outputs of the layers of any net, averaged over time and space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def pooled_layers(
    module: nn.Module, x: Tensor, layers: Sequence[str] | None = None, feature_axis: int = -1
) -> Tensor:
    """Average the outputs of some layers over all axes except those of clips and features.

    Parameters
    ----------
    module : Module
        The net.
    x : Tensor of shape (batch, ...)
        Its input.
    layers : sequence of str or None
        Names of submodules that the net runs once; None takes the output of the net itself.
    feature_axis : int
        Axis of the features in these outputs.

    Returns
    -------
    Tensor of shape (batch, n_features), float32
        The layers next to each other. Where an output is a tuple, its first item counts.

    Raises
    ------
    ValueError
        For a layer that does not run, or more than once, and for outputs that cannot be averaged.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv1d(1, 3, 5), nn.ReLU())
    >>> pooled_layers(net, torch.zeros(2, 1, 100), ["0", "1"], feature_axis=1).shape
    torch.Size([2, 6])
    """
    if layers is None:
        return _pool(module(x), feature_axis, "the module")
    found: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, inputs: Any, output: Any) -> None:
            if name in found:
                raise ValueError(
                    f"Got layers={list(layers)}, but the module runs {name!r} more than once, so "
                    "that its output is ambiguous; pass layers that run once, such as the next one."
                )
            # Pooled at once: the outputs of all layers together may not fit in memory.
            found[name] = _pool(output, feature_axis, name)

        return hook

    names = dict.fromkeys(layers)
    hooks = [module.get_submodule(name).register_forward_hook(note(name)) for name in names]
    try:
        module(x)
    finally:  # the module belongs to the user: no hook stays on it, even after an error
        for hook in hooks:
            hook.remove()
    unused = [name for name in layers if name not in found]
    if unused:
        raise ValueError(f"Got layers={list(layers)}, but the module does not run {unused}.")
    return torch.cat([found[name] for name in layers], dim=1)


def _pool(output: Any, feature_axis: int, name: str) -> Tensor:
    output = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(output, Tensor) or output.ndim < 2:
        what = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output)
        raise ValueError(
            f"Got an output of {what} from {name}; a tensor (batch, ..., features) is needed. Wrap "
            "the net in a module whose forward returns one."
        )
    features_next = output.float().movedim(feature_axis, 1)  # (batch, n_features, ...)
    return features_next.flatten(2).mean(dim=2) if output.ndim > 2 else features_next
