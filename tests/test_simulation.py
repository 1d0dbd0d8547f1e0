"""Masks: how much they hide, that they are random, and what balance means."""

import pytest
import torch

from sklasd.simulation import balanced_patch_masks, patch_mask

GRID = {"patch_size": 8, "n_masked": 48}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def patches(masks, size=8):
    """Return (n_masks, n_patches), and check that patches are hidden as a whole."""
    blocks = masks.unflatten(1, (-1, size)).unflatten(3, (-1, size)).transpose(2, 3)
    assert torch.equal(blocks.all(dim=4).all(dim=3), blocks.any(dim=4).any(dim=3))
    return blocks[..., 0, 0].flatten(1)


@pytest.mark.parametrize("function", [patch_mask, balanced_patch_masks])
class TestEither:
    def test_hides_48_of_64(self, function):
        masks = function(20, (64, 64), **GRID, generator=generator())
        assert masks.shape == (20, 64, 64)
        assert masks.dtype == torch.bool
        assert (patches(masks).sum(dim=1) == 48).all()

    def test_images_need_not_be_square(self, function):
        masks = function(3, (16, 48), patch_size=8, n_masked=5, generator=generator())
        assert (patches(masks).sum(dim=1) == 5).all()

    def test_seed(self, function):
        first, again, other = (
            function(5, (64, 64), **GRID, generator=generator(seed)) for seed in (0, 0, 1)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert len(first.flatten(1).unique(dim=0)) == 5

    @pytest.mark.parametrize("n_masked", [0, 64, 65])
    def test_hides_some_and_shows_some(self, function, n_masked):
        with pytest.raises(ValueError, match=rf"n_masked={n_masked} of 64 .* at most 63"):
            function(1, (64, 64), patch_size=8, n_masked=n_masked)

    @pytest.mark.parametrize("shape", [(64, 60), (60, 64)])
    def test_patches_fill_the_image(self, function, shape):
        with pytest.raises(ValueError, match=r"patch_size=8, .* divides both"):
            function(1, shape, **GRID)


def test_every_patch_is_as_likely():
    share = patches(patch_mask(4000, (64, 64), **GRID, generator=generator())).float().mean(dim=0)
    assert (share - 0.75).abs().max() < 5 * (0.75 * 0.25 / 4000) ** 0.5


@pytest.mark.parametrize("n_masked", [1, 17, 48, 63])
def test_balance_holds_after_any_number(n_masked):
    masks = balanced_patch_masks(70, (64, 64), patch_size=8, n_masked=n_masked)
    n_hidden = patches(masks).long().cumsum(dim=0)
    assert (n_hidden.amax(dim=1) - n_hidden.amin(dim=1) <= 1).all()


def test_balanced_every_patch_equally_often():
    masks = balanced_patch_masks(256, (64, 64), **GRID, generator=generator())
    assert masks.sum(dim=0).unique().tolist() == [192]


def test_fewer_balanced_masks_are_the_first_of_more():
    few, many = (balanced_patch_masks(n, (64, 64), **GRID, generator=generator()) for n in (5, 9))
    assert torch.equal(few, many[:5])


def test_global_generator_is_used_only_where_none_is_given():
    before = torch.get_rng_state()
    patch_mask(2, (64, 64), **GRID, generator=generator())
    balanced_patch_masks(2, (64, 64), **GRID, generator=generator())
    assert torch.equal(before, torch.get_rng_state())
