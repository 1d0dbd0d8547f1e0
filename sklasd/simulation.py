"""Masks that hide patches from a net, and simulated defects of spectrograms and codes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_SLOPES = 64  # slopes of the noise along each axis of the grid, before they repeat


def _count_patches(shape: tuple[int, int], patch_size: int, n_masked: int) -> int:
    """Count the patches of an image; at least one must be hidden, and one visible."""
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
    """Enlarge masks of patches, (n_masks, n_patches), to pixels, (n_masks, *shape)."""
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
    """Hide random patches of images, independently for each mask.

    Parameters
    ----------
    n_masks : int
        Number of masks.
    shape : (int, int)
        Height and width of the images in pixels.
    patch_size : int
        Side of the square patches, which fill the image.
    n_masked : int
        Patches that each mask hides.
    generator : torch.Generator, default=None
        Source of randomness; None is torch's own of `device`.
    device : device, default="cpu"
        Device of the masks.

    Returns
    -------
    Tensor of shape (n_masks, *shape), bool
        True where pixels are hidden.

    Raises
    ------
    ValueError
        When patches do not fill the image, or when all or none of them would be hidden.

    Examples
    --------
    >>> import torch
    >>> masks = patch_mask(3, (64, 64), patch_size=8, n_masked=48)
    >>> masks.shape, (masks.sum(dim=(1, 2)) / 8**2).tolist()
    (torch.Size([3, 64, 64]), [48.0, 48.0, 48.0])
    """
    n_patches = _count_patches(shape, patch_size, n_masked)
    noise = torch.rand(n_masks, n_patches, generator=generator, device=device)
    # The order of noise is a random permutation of 0, 1, ..., with n_masked values below n_masked.
    hidden = noise.argsort(dim=1) < n_masked
    return _to_pixels(hidden, shape, patch_size)


def balanced_patch_masks(
    n_masks: int,
    shape: tuple[int, int],
    *,
    patch_size: int,
    n_masked: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Hide all patches equally often, in random order.

    Each mask hides the patches that were hidden least often so far, and draws among equals. After
    any number of masks, the counts of two patches differ by at most 1; if 48 of 64 are hidden, each
    four masks together show every patch exactly once.

    Parameters
    ----------
    n_masks : int
        Number of masks. With the same seed, fewer masks are the first of more.
    shape, patch_size, n_masked
        As in `patch_mask`, with the same errors.
    generator : torch.Generator, default=None
        Source of randomness, on the CPU; None is torch's own.

    Returns
    -------
    Tensor of shape (n_masks, *shape), bool
        True where pixels are hidden; on the CPU.

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
    # Counts are whole numbers and noise is below 1: it decides among equal counts only.
    for mask, tie in zip(hidden, noise, strict=True):
        mask[(n_hidden + tie).argsort()[:n_masked]] = True
        n_hidden += mask
    return _to_pixels(hidden, shape, patch_size)


def perlin_noise(
    n_maps: int,
    shape: tuple[int, int],
    *,
    octaves: Sequence[int] = (0, 5),
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw smooth random maps, each with its own scale and angle.

    A grid of :math:`2^a \times 2^b` cells with a random slope at each corner covers the map, where
    a and b are drawn from `octaves`; between the corners the noise is interpolated. The grid is
    turned by up to 90 degrees in either direction.

    Parameters
    ----------
    n_maps : int
        Number of maps.
    shape : (int, int)
        Height and width.
    octaves : (int, int), default=(0, 5)
        Least and greatest power of two.
    generator : torch.Generator, default=None
        Source of randomness, on the CPU; None is torch's own.

    Returns
    -------
    Tensor of shape (n_maps, *shape)
        Between -1 and 1.

    Examples
    --------
    >>> perlin_noise(2, (128, 313)).shape
    torch.Size([2, 128, 313])
    """

    def draw(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    low, high = octaves
    cells = 2.0 ** torch.randint(low, high + 1, (n_maps, 2, 1, 1), generator=generator)
    turn = (draw(n_maps, 1, 1) - 0.5) * torch.pi
    height, width = (torch.linspace(-0.5, 0.5, size) for size in shape)
    y, x = torch.meshgrid(height, width, indexing="ij")
    # Position of each pixel on the turned grid, in cells from a random corner: (n_maps, 2, h, w)
    turned = torch.stack([turn.cos() * y - turn.sin() * x, turn.sin() * y + turn.cos() * x], dim=1)
    place = turned * cells + draw(n_maps, 2, 1, 1) * _SLOPES
    corner = place.floor()
    inside = place - corner
    angles = 2 * torch.pi * draw(n_maps, _SLOPES * _SLOPES)
    # A table of slopes is quicker than sines and cosines for each pixel.
    slopes = torch.stack([angles.cos(), angles.sin()], dim=2)
    corner = corner.long()

    def slope(dy: int, dx: int) -> Tensor:
        row, column = (corner[:, 0] + dy) % _SLOPES, (corner[:, 1] + dx) % _SLOPES
        index = (row * _SLOPES + column).flatten(1)[:, :, None].expand(-1, -1, 2)
        down, right = slopes.gather(1, index).view(n_maps, *shape, 2).unbind(dim=-1)
        return down * (inside[:, 0] - dy) + right * (inside[:, 1] - dx)

    # Perlin's polynomial from 0 to 1, whose first two derivatives are 0 at both ends.
    fade = inside**3 * (inside * (inside * 6 - 15) + 10)
    left = torch.lerp(slope(0, 0), slope(1, 0), fade[:, 0])
    right = torch.lerp(slope(0, 1), slope(1, 1), fade[:, 0])
    # Slopes of length 1 reach sqrt(1/2) in the middle of a cell: scaled to [-1, 1].
    return 2**0.5 * torch.lerp(left, right, fade[:, 1])


def perlin_masks(
    n_masks: int,
    shape: tuple[int, int],
    *,
    threshold: float = 0.5,
    octaves: Sequence[int] = (0, 5),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw blobs of any shape: the pixels where Perlin noise is above a threshold.

    Parameters
    ----------
    n_masks : int
        Number of masks; some are empty.
    threshold : float, default=0.5
        Threshold of the noise, which lies between -1 and 1.
    shape, octaves, generator
        As in `perlin_noise`.

    Returns
    -------
    Tensor of shape (n_masks, *shape), bool
        True where a map becomes anomalous.

    Examples
    --------
    >>> perlin_masks(4, (128, 313)).dtype
    torch.bool
    """
    return perlin_noise(n_masks, shape, octaves=octaves, generator=generator) > threshold


def band_masks(
    n_masks: int,
    shape: tuple[int, int],
    *,
    bands: Sequence[int] = (4, 64),
    n_segments: Sequence[int] = (1, 5),
    frames: Sequence[int] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw a band of frequencies in several segments of time.

    Parameters
    ----------
    n_masks : int
        Number of masks; none is empty.
    shape : (int, int)
        Number of mel bands and of frames.
    bands : (int, int), default=(4, 64)
        Least and greatest height, in mel bands.
    n_segments : (int, int), default=(1, 5)
        Least and greatest number of segments, which may overlap.
    frames : (int, int), default=None
        Least and greatest length of a segment; None is 8 and half of the frames.
    generator : torch.Generator, default=None
        Source of randomness, on the CPU; None is torch's own.

    Returns
    -------
    Tensor of shape (n_masks, *shape), bool
        True where a map becomes anomalous.

    Examples
    --------
    >>> mask = band_masks(1, (128, 313), bands=(8, 8), n_segments=(1, 1), frames=(313, 313))
    >>> int(mask.sum()) == 8 * 313
    True
    """
    height, width = shape

    def draw(least: int, greatest: int, most: int, *size: int) -> Tensor:
        least, greatest = min(least, most), min(greatest, most)  # small images get small bands
        return torch.randint(least, greatest + 1, size, generator=generator)

    def place(length: Tensor, room: int) -> Tensor:
        return (torch.rand(length.shape, generator=generator) * (room - length + 1)).long()

    # Each mask draws the greatest number of segments and uses some: one tensor holds all masks.
    n_most = n_segments[1]
    shortest, longest = (8, max(width // 2, 8)) if frames is None else frames
    n_bands = draw(*bands, height, n_masks, 1)
    lowest = place(n_bands, height)
    row = torch.arange(height)
    in_band = (row >= lowest) & (row < lowest + n_bands)  # (n_masks, height)
    length = draw(shortest, longest, width, n_masks, n_most, 1)
    first = place(length, width)
    is_used = torch.arange(n_most) < draw(*n_segments, n_most, n_masks, 1)
    column = torch.arange(width)
    in_segment = (column >= first) & (column < first + length) & is_used[:, :, None]
    return in_band[:, :, None] & in_segment.any(dim=1)[:, None, :]


def corrupt_codes(
    vectors: Tensor,
    mask: Tensor,
    codebook: Tensor,
    *,
    farthest: Tensor | None = None,
    nearest: float = 0.05,
) -> Tensor:
    """Replace vectors of a code map by other codes.

    Parameters
    ----------
    vectors : Tensor of shape (batch, n_features, height, width)
        Quantised features.
    mask : Tensor of shape (batch, height, width), bool
        True where vectors are replaced.
    codebook : Tensor of shape (codebook_size, n_features)
        Codes to draw from, all equally likely.
    farthest : Tensor of shape (batch, height, width), default=None
        Farthest code to draw for each cell, by the rank of its distance from the cell's own vector,
        as a share of the codebook; None draws from all codes.
    nearest : float, default=0.05
        Share of the codebook that is too near to be drawn, if `farthest` is given.

    Returns
    -------
    Tensor of shape (batch, n_features, height, width)
        Vectors, unchanged where the mask is False.

    Examples
    --------
    >>> vectors, codebook = torch.zeros(1, 2, 1, 2), torch.ones(4, 2)
    >>> corrupt_codes(vectors, torch.tensor([[[True, False]]]), codebook)[0, 0]
    tensor([[1., 0.]])
    """
    n_cells = int(mask.sum())
    size = len(codebook)
    draw = torch.rand(n_cells, device=codebook.device)
    if farthest is None:
        codes = (draw * size).long()
    else:
        own = vectors.movedim(1, -1)[mask]  # (n_cells, n_features)
        order = torch.cdist(own, codebook).argsort(dim=1)
        low = int(nearest * size)  # nearer ones would make no difference
        high = (farthest[mask] * size).long().clamp(low + 1, size)
        codes = order.gather(1, (low + (draw * (high - low)).long())[:, None])[:, 0]
    result = vectors.movedim(1, -1).clone()
    result[mask] = codebook[codes]
    return result.movedim(-1, 1)
