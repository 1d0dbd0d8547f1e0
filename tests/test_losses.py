"""Losses against closed forms and torch's own."""

import pytest
import torch

from sklasd.losses import MaskedMSE, MeanSquaredError, feature_matching, gradient_penalty


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


class TestMasked:
    def test_counts_hidden_pixels_only(self):
        x, painted = torch.randn(2, 3, 8, 8)
        mask = torch.rand(3, 8, 8) < 0.75
        painted.requires_grad_()
        loss = MaskedMSE()((painted, mask), x)
        torch.testing.assert_close(loss, (painted - x)[mask].square().mean())
        loss.backward()
        assert (painted.grad[~mask] == 0).all()
        torch.testing.assert_close(
            painted.grad[mask], 2 * (painted - x)[mask].detach() / mask.sum()
        )

    def test_everywhere(self):
        x, painted = torch.randn(2, 3, 8, 8)
        loss = MaskedMSE(everywhere=True)((painted, torch.zeros(3, 8, 8, dtype=torch.bool)), x)
        torch.testing.assert_close(loss, torch.nn.functional.mse_loss(painted, x))


class TestAdversarial:
    @pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
    def test_penalty_of_a_linear_critic(self, scale):
        weight = torch.randn(12)
        weight = (scale * weight / weight.norm()).requires_grad_()
        real, fake = torch.randn(2, 5, 1, 3, 4)
        penalty = gradient_penalty(lambda x: x.flatten(1) @ weight, real, fake)
        assert penalty.item() == pytest.approx((scale - 1) ** 2, abs=1e-6)
        penalty.backward()  # d(|w| - 1)^2 / dw = 2 (|w| - 1) w / |w|
        torch.testing.assert_close(
            weight.grad, 2 * (scale - 1) * weight.detach() / scale, atol=1e-5, rtol=1e-4
        )

    def test_penalty_of_a_quadratic_critic_lies_between(self):
        # D(x) = x^2 / 2 has slope x: at real 3 and fake 1 the penalty is a mean of (x - 1)^2
        # over x uniform in [1, 3], which is 4/3.
        torch.manual_seed(0)
        real, fake = torch.full((200_000, 1), 3.0), torch.ones(200_000, 1)
        penalty = gradient_penalty(lambda x: x[:, 0].square() / 2, real, fake)
        assert penalty.item() == pytest.approx(4 / 3, rel=0.01)

    def test_penalty_sends_nothing_to_the_generator(self):
        fake = torch.randn(4, 3, requires_grad=True)
        weight = torch.randn(3, requires_grad=True)
        gradient_penalty(lambda x: x @ weight, torch.randn(4, 3), fake).backward()
        assert fake.grad is None

    def test_matching_of_two_gaussians(self):
        # Standardised exactly, then N(1, 2^2) against N(-2, 0.5^2) in each feature.
        z = torch.randn(100, 7, dtype=torch.double)
        z = (z - z.mean(0)) / z.std(0, correction=0)
        fake, real = 1 + 2 * z, -2 + 0.5 * z.flip(0)
        assert feature_matching(fake, real).item() == pytest.approx(9)
        assert feature_matching(fake, real, deviation=True).item() == pytest.approx(9 + 1.5**2)
