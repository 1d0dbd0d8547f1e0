"""Simulated defects and masks: what is hidden from a net, or broken, on purpose."""

from __future__ import annotations

import torch
from torch import Tensor


def _count_patches(shape: tuple[int, int], patch_size: int, n_masked: int) -> int:
    """Count the patches of an image, of which at least one is hidden and one is not."""
    n_patches = (shape[0] // patch_size) * (shape[1] // patch_size)
    if shape[0] % patch_size or shape[1] % patch_size:
        raise ValueError(
            f"Got patch_size={patch_size}, but images of {shape[0]} x {shape[1]} pixels; "
            "pass a size that divides both."
        )
    if not 1 <= n_masked < n_patches:
        raise ValueError(
            f"Got n_masked={n_masked} of {n_patches} patches; pass at least 1 and at most "
            f"{n_patches - 1}."
        )
    return n_patches


def _to_pixels(hidden: Tensor, shape: tuple[int, int], patch_size: int) -> Tensor:
    """Blow (n_masks, n_patches) up to (n_masks, *shape)."""
    patches = hidden.view(len(hidden), shape[0] // patch_size, shape[1] // patch_size)
    return patches.repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)


def patch_mask(
    n_masks: int,
    shape: tuple[int, int],
    *,
    patch_size: int,
    n_masked: int,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Hide random patches of images, each image's by itself.

    Parameters
    ----------
    n_masks : int
        How many masks are drawn.
    shape : (int, int)
        Height and width of the images in pixels.
    patch_size : int
        Side of the square patches; they lie edge to edge and fill the image.
    n_masked : int
        Patches that each mask hides.
    generator : torch.Generator, default=None
        Source of randomness; None is torch's own of `device`.
    device : device, default="cpu"
        Where the masks are made.

    Returns
    -------
    Tensor of shape (n_masks, *shape), bool
        True where pixels are hidden.

    Raises
    ------
    ValueError
        When patches do not fill the image, or none would be hidden, or none shown.

    Examples
    --------
    >>> import torch
    >>> masks = patch_mask(3, (64, 64), patch_size=8, n_masked=48)
    >>> masks.shape, (masks.sum(dim=(1, 2)) / 8**2).tolist()
    (torch.Size([3, 64, 64]), [48.0, 48.0, 48.0])
    """
    n_patches = _count_patches(shape, patch_size, n_masked)
    noise = torch.rand(n_masks, n_patches, generator=generator, device=device)
    hidden = noise.argsort(dim=1) < n_masked  # a random permutation of 0, 1, ... has n_masked such
    return _to_pixels(hidden, shape, patch_size)


def balanced_patch_masks(
    n_masks: int,
    shape: tuple[int, int],
    *,
    patch_size: int,
    n_masked: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Hide every patch equally often, in an order that is random.

    Each mask hides the patches that were hidden least so far, and draws among equals. After any
    number of masks no patch was hidden more than once more often than another; with 48 of 64
    hidden, what four masks in a row show are the four quarters of a random deal.

    Parameters
    ----------
    n_masks : int
        How many masks are drawn. Fewer are the first of more, from the same seed.
    shape : (int, int)
        Height and width of the images in pixels.
    patch_size : int
        Side of the square patches; they lie edge to edge and fill the image.
    n_masked : int
        Patches that each mask hides.
    generator : torch.Generator, default=None
        Source of randomness, on the CPU; None is torch's own.

    Returns
    -------
    Tensor of shape (n_masks, *shape), bool
        True where pixels are hidden; on the CPU.

    Raises
    ------
    ValueError
        When patches do not fill the image, or none would be hidden, or none shown.

    Examples
    --------
    >>> import torch
    >>> masks = balanced_patch_masks(4, (64, 64), patch_size=8, n_masked=48)
    >>> masks.sum(dim=0).unique()
    tensor([3])
    """
    n_patches = _count_patches(shape, patch_size, n_masked)
    noise = torch.rand(n_masks, n_patches, generator=generator)
    n_hidden = torch.zeros(n_patches)  # how often each patch was
    hidden = torch.zeros(n_masks, n_patches, dtype=torch.bool)
    for mask, tie in zip(hidden, noise, strict=True):
        mask[(n_hidden + tie).argsort()[:n_masked]] = True
        n_hidden += mask
    return _to_pixels(hidden, shape, patch_size)
