"""Losses against closed forms and torch's own."""

import pytest
import torch

from sklasd.losses import (
    MarginExposure,
    MaskedMSE,
    MeanSquaredError,
    SquashedExposure,
    feature_matching,
    gradient_penalty,
)


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


def windows_of_error(*errors):
    """Return a reconstruction, and zeros, of windows (2, 3) with given mean squared errors."""
    errors = torch.tensor(errors)
    rebuilt = errors.sqrt()[:, None, None] * torch.ones(len(errors), 2, 3)
    return rebuilt.requires_grad_(), torch.zeros(len(errors), 2, 3)


class TestExposure:
    exposed = torch.tensor([False, True, False, True])

    def test_squashed_by_hand(self):
        rebuilt, x = windows_of_error(1.0, 4.0, 3.0, 12.0)
        loss = SquashedExposure(scale=4.0, weight=0.5)(rebuilt, x, self.exposed)
        # normal: (1 + 3) / 2; exposed: 1 - e' is 4/8 and 4/16
        assert loss.item() == pytest.approx(2 + 0.5 * 4 * (0.5 + 0.25) / 2)

    def test_margin_by_hand(self):
        rebuilt, x = windows_of_error(1.0, 4.0, 3.0, 12.0)
        log = torch.tensor([4.0, 12.0, 4 / 3, 4.0]).log()  # leads of every exposed window
        for margin in (0.0, 1.0, 2.0):
            loss = MarginExposure(scale=4.0, weight=0.5, margin=margin)(rebuilt, x, self.exposed)
            short = sum(max(0.0, margin - lead) for lead in log.tolist()) / 4
            assert loss.item() == pytest.approx(2 + 0.5 * 4 * short, rel=1e-6)

    @pytest.mark.parametrize("loss", [SquashedExposure(2.0), MarginExposure(2.0, margin=9.0)])
    def test_normal_errors_are_pushed_down_and_exposed_ones_up(self, loss):
        rebuilt, x = windows_of_error(1.0, 4.0, 3.0, 12.0)
        loss(rebuilt, x, self.exposed).backward()
        slope = (rebuilt.grad * rebuilt.detach()).sum(dim=(1, 2))  # along the windows' errors
        assert ((slope < 0) == self.exposed).all()

    def test_squashed_is_bounded_with_a_gradient_by_hand(self):
        rebuilt, x = windows_of_error(1e12, 0.0)
        loss = SquashedExposure(2.0)(rebuilt, x, torch.tensor([True, True]))
        assert loss.item() == pytest.approx(2 * (0 + 1) / 2)
        rebuilt, x = windows_of_error(3.0)
        SquashedExposure(2.0)(rebuilt, x, torch.tensor([True])).backward()
        # d/de of tau^2 / (e + tau) is -4/25; de/dx of each of 6 values is 2 x / 6
        torch.testing.assert_close(rebuilt.grad, -4 / 25 * 2 * rebuilt.detach() / 6)

    def test_margin_asks_no_more_than_it_needs(self):
        rebuilt, x = windows_of_error(1.0, 4.0, 3.0, 12.0)
        MarginExposure(2.0)(rebuilt, x, self.exposed).backward()  # all leads are above 0
        assert (rebuilt.grad[self.exposed] == 0).all()

    @pytest.mark.parametrize("kind", [SquashedExposure, MarginExposure])
    @pytest.mark.parametrize("exposed", [False, True])
    def test_batches_of_one_kind_and_perfect_windows(self, kind, exposed):
        rebuilt, x = windows_of_error(4.0, 2.0)
        loss = kind(scale=2.0)(rebuilt, x, torch.tensor([exposed, exposed]))
        if not exposed:
            assert loss.item() == pytest.approx(3.0)
        loss.backward()
        assert rebuilt.grad.isfinite().all()
        perfect = torch.zeros(2, 2, 3, requires_grad=True)
        kind()(perfect, torch.zeros(2, 2, 3), torch.tensor([False, True])).backward()
        assert perfect.grad.isfinite().all()


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
