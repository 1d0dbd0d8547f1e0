"""Simulated defects and masks: what is hidden from a net, or broken, on purpose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_SLOPES = 64  # that a grid of noise has along either axis before they repeat


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


def perlin_noise(
    n_maps: int,
    shape: tuple[int, int],
    *,
    octaves: Sequence[int] = (0, 5),
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw smooth random maps, each at a scale and an angle of its own.

    Random slopes sit on a grid of :math:`2^a \times 2^b` cells over the map, a and b drawn from
    `octaves`; between them the noise is interpolated. The grid is turned by up to 90 degrees.

    Parameters
    ----------
    n_maps : int
        How many.
    shape : (int, int)
        Height and width; any.
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
    # Where each pixel lies on the turned grid, in cells from a random corner: (n_maps, 2, h, w)
    turned = torch.stack([turn.cos() * y - turn.sin() * x, turn.sin() * y + turn.cos() * x], dim=1)
    place = turned * cells + draw(n_maps, 2, 1, 1) * _SLOPES
    corner = place.floor()
    inside = place - corner
    angles = 2 * torch.pi * draw(n_maps, _SLOPES * _SLOPES)
    slopes = torch.stack([angles.cos(), angles.sin()], dim=2)  # looked up, not computed per pixel
    corner = corner.long()

    def slope(dy: int, dx: int) -> Tensor:
        row, column = (corner[:, 0] + dy) % _SLOPES, (corner[:, 1] + dx) % _SLOPES
        index = (row * _SLOPES + column).flatten(1)[:, :, None].expand(-1, -1, 2)
        down, right = slopes.gather(1, index).view(n_maps, *shape, 2).unbind(dim=-1)
        return down * (inside[:, 0] - dy) + right * (inside[:, 1] - dx)

    fade = inside**3 * (inside * (inside * 6 - 15) + 10)
    left = torch.lerp(slope(0, 0), slope(1, 0), fade[:, 0])
    right = torch.lerp(slope(0, 1), slope(1, 1), fade[:, 0])
    return 2**0.5 * torch.lerp(left, right, fade[:, 1])


def perlin_masks(
    n_masks: int,
    shape: tuple[int, int],
    *,
    threshold: float = 0.5,
    octaves: Sequence[int] = (0, 5),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw blobs of any shape: where Perlin noise is above a threshold.

    Parameters
    ----------
    n_masks : int
        How many; some are empty.
    shape : (int, int)
        Height and width; any.
    threshold : float, default=0.5
        Of the noise, which lies between -1 and 1.
    octaves : (int, int), default=(0, 5)
        As in `perlin_noise`.
    generator : torch.Generator, default=None
        Source of randomness, on the CPU; None is torch's own.

    Returns
    -------
    Tensor of shape (n_masks, *shape), bool
        True where a map is to be anomalous.

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
    """Draw a band of frequencies over several segments of time.

    Parameters
    ----------
    n_masks : int
        How many; none is empty.
    shape : (int, int)
        Number of mel bands and of frames.
    bands : (int, int), default=(4, 64)
        Least and greatest height, in mel bands.
    n_segments : (int, int), default=(1, 5)
        Least and greatest number of segments; they may overlap.
    frames : (int, int), default=None
        Least and greatest length of a segment; None is 8 and half of the frames.
    generator : torch.Generator, default=None
        Source of randomness, on the CPU; None is torch's own.

    Returns
    -------
    Tensor of shape (n_masks, *shape), bool
        True where a map is to be anomalous.

    Examples
    --------
    >>> mask = band_masks(1, (128, 313), bands=(8, 8), n_segments=(1, 1), frames=(313, 313))
    >>> int(mask.sum()) == 8 * 313
    True
    """
    height, width = shape

    def draw(least: int, greatest: int, most: int, *size: int) -> Tensor:
        least, greatest = min(least, most), min(greatest, most)
        return torch.randint(least, greatest + 1, size, generator=generator)

    def place(length: Tensor, room: int) -> Tensor:
        return (torch.rand(length.shape, generator=generator) * (room - length + 1)).long()

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
    """Replace vectors of a code map by others of the codebook.

    Parameters
    ----------
    vectors : Tensor of shape (batch, n_features, height, width)
        Quantised features.
    mask : Tensor of shape (batch, height, width), bool
        Which of them are replaced.
    codebook : Tensor of shape (codebook_size, n_features)
        What by; all codes are equally likely.
    farthest : Tensor of shape (batch, height, width), default=None
        The codes to draw from are those up to this rank of nearness to a cell's own vector, as a
        share of the codebook; None takes all.
    nearest : float, default=0.05
        Share of the codebook that is too near to be taken; with `farthest` only.

    Returns
    -------
    Tensor of shape (batch, n_features, height, width)
        The same where the mask is False.

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
        low = int(nearest * size)
        high = (farthest[mask] * size).long().clamp(low + 1, size)
        codes = order.gather(1, (low + (draw * (high - low)).long())[:, None])[:, 0]
    result = vectors.movedim(1, -1).clone()
    result[mask] = codebook[codes]
    return result.movedim(-1, 1)
