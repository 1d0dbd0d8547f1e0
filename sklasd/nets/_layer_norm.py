"""Layer normalisation and leaky ReLU in one layer, with a fast second derivative."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class LeakyLayerNorm(nn.Module):
    r"""Normalise each image over channels, height and width, then apply a leaky ReLU.

    Parameters
    ----------
    n_channels, height, width : int
        Size of the images.
    slope : float, default=1.0
        Slope of the leaky ReLU below 0; 0 is a ReLU, and 1 leaves it out.
    eps : float, default=1e-5
        Added to the variance.

    Notes
    -----
    Shape: (batch, n_channels, height, width) → the same.

    The results are those of `torch.nn.LayerNorm` and `torch.nn.LeakyReLU`; this layer is made for
    training with a gradient penalty, which differentiates a gradient. The weights have the shape
    (height, width, n_channels), so that images in channels-last memory, which convolutions prefer,
    are never copied. The second derivative is written out: with
    :math:`P(v) = v - \overline{v} - n \, \overline{v n}`, where :math:`n` is the normalised image
    and :math:`\rho` its inverse deviation, the backward pass is :math:`\rho P(w)` for a gradient
    :math:`w` by :math:`n`. :math:`P` is linear and symmetric; its derivative by the image is a sum
    of :math:`w`, :math:`n` and the incoming gradient, weighted by means over the image. This takes
    fewer passes over memory than torch's own composition
    (``benchmarks/bench_adversarial_step.py`` measures the step).

    Examples
    --------
    >>> x = torch.randn(2, 3, 4, 5)
    >>> reference = nn.Sequential(nn.LayerNorm([3, 4, 5]), nn.LeakyReLU(0.2))
    >>> torch.allclose(LeakyLayerNorm(3, 4, 5, slope=0.2)(x), reference(x), atol=1e-6)
    True
    """

    def __init__(
        self, n_channels: int, height: int, width: int, slope: float = 1.0, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.slope = slope
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(height, width, n_channels))
        self.bias = nn.Parameter(torch.zeros(height, width, n_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise images; the result is in single precision and channels last in memory."""
        # Means and deviations of half precision would be too coarse.
        x = x.to(torch.promote_types(x.dtype, torch.float32)).permute(0, 2, 3, 1).contiguous()
        y = _Forward.apply(x, self.weight, self.bias, self.slope, self.eps)
        return y.permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Return what printing shows."""
        return f"{tuple(self.weight.shape)}, slope={self.slope}"


class _Forward(torch.autograd.Function):
    """y = leaky(weight * n + bias), n = (x - mean) * rstd, over all axes but the first.

    torch differentiates a gradient by recording the backward pass, too. So that pass is a Function
    of its own, `_Backward`, whose derivative is written by hand.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slope: float, eps: float
    ) -> Tensor:
        y, mean, rstd = torch.native_layer_norm(x, list(weight.shape), weight, bias, eps)
        if slope < 1:
            # In place: the sign of the result still tells on which side of 0 the input was, so
            # that the input need not be kept for the backward pass.
            y = nn.functional.leaky_relu_(y, slope)
        ctx.slope = slope
        ctx.save_for_backward(x, y, weight, bias, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        # Weights that are not trained get no gradient, and torch's kernel skips their sums.
        wanted = ctx.needs_input_grad[:3]
        gradients = _Backward.apply(dy.contiguous(), *ctx.saved_tensors, ctx.slope, wanted)
        return *gradients, None, None


class _Backward(torch.autograd.Function):
    """dx = rstd * P(w), w = weight * du, du = leaky'(y) * dy."""

    @staticmethod
    def forward(
        ctx: Any,
        dy: Tensor,
        x: Tensor,
        y: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        rstd: Tensor,
        slope: float,
        wanted: tuple[bool, bool, bool],
    ) -> tuple[Tensor | None, ...]:
        du = _through_leaky(dy, y, slope)
        ctx.slope = slope
        # Gradients that nobody asked for come as None, not as tensors of zeros.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(du, x, y, weight, mean, rstd)
        return torch.ops.aten.native_layer_norm_backward(
            du, x, list(weight.shape), mean, rstd, weight, bias, wanted
        )

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, a: Tensor | None, of_weight: Tensor | None, of_bias: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Differentiate <a, dx>, where a is the incoming gradient of the penalty."""
        # A penalty depends on dx only; the gradients by weight and bias are never differentiated.
        if of_weight is not None or of_bias is not None:
            raise NotImplementedError("Only the gradient by x can be differentiated again.")
        if a is None:
            return (None,) * 9
        du, x, y, weight, mean, rstd = ctx.saved_tensors
        shape, mean, rstd = x.shape, mean.view(-1, 1), rstd.view(-1, 1)  # (batch, 1), as all means
        du, x, a, gamma = du.flatten(1), x.flatten(1), a.flatten(1), weight.flatten()
        # From here on everything is one row per image, (batch, n_values), and as much as possible
        # is computed in place: the step is bound by memory, not by arithmetic.
        n = (x - mean).mul_(rstd)
        w = du * gamma
        mean_a, mean_w = a.mean(1, keepdim=True), w.mean(1, keepdim=True)
        mean_an, mean_wn, mean_aw = _mean_product(a, n), _mean_product(w, n), _mean_product(a, w)
        # dx = rstd * P(w) depends on the image by rstd and by the n in P: the derivatives of both
        # sum up to a combination of w, a, n and 1, whose factors are means over the image.
        along_n = 3 * mean_an * mean_wn - mean_aw + mean_a * mean_w
        by_x = w.mul_(-mean_an).addcmul_(a, mean_wn, value=-1).addcmul_(n, along_n)
        by_x.add_(mean_a * mean_wn + mean_w * mean_an).mul_(rstd.square())
        # <a, rstd * P(w)> = <rstd * P(a), w>, as P is symmetric: this serves weight and dy.
        projected = n.mul_(-mean_an).add_(a).sub_(mean_a).mul_(rstd)  # rstd * P(a)
        by_weight = (projected * du).sum(0).view_as(weight)
        by_dy = _through_leaky(projected.mul_(gamma).view(shape), y, ctx.slope)
        return by_dy, by_x.view(shape), None, by_weight, *[None] * 5


def _through_leaky(gradient: Tensor, y: Tensor, slope: float) -> Tensor:
    """Multiply by the slope where y, the result of a leaky ReLU, is negative."""
    if slope == 1:  # there is no leaky ReLU
        return gradient
    return torch.ops.aten.leaky_relu_backward(gradient, y, slope, True)


def _mean_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean of a * b over each row, (batch, 1)."""
    # A product of matrices never holds a * b in memory.
    return torch.bmm(a[:, None], b[:, :, None])[:, 0] / a.shape[1]
