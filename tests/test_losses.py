"""Losses against closed forms and torch's own."""

import pytest
import torch

from sklasd.losses import MeanSquaredError


def test_mean_squared_error_is_torchs(rng):
    x, start = torch.randn(2, 5, 7, 3)
    results = []
    for loss in (MeanSquaredError(), torch.nn.MSELoss()):
        rebuilt = start.clone().requires_grad_()
        value = loss(rebuilt.transpose(0, 1), x.transpose(0, 1))
        (3 * value).backward()
        results.append((value.detach(), rebuilt.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(results[0][1], 6 * (start - x) / x.numel())


def test_mean_squared_error_leaves_its_arguments_alone():
    x, rebuilt = torch.ones(3), torch.zeros(3, requires_grad=True)
    MeanSquaredError()(rebuilt, x).backward()
    assert torch.equal(x, torch.ones(3))
    assert torch.equal(rebuilt.detach(), torch.zeros(3))


def test_mean_squared_error_refuses_a_second_use():
    value = MeanSquaredError()(torch.zeros(3, requires_grad=True), torch.ones(3))
    value.backward(retain_graph=True)
    with pytest.raises(AttributeError):
        value.backward()
