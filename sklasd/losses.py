"""Losses of the papers, as torch modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_SMOOTH = 1e-5  # of a target of 0 or 1
_TINY = 1e-12  # of an error whose logarithm is taken


class _MeanSquare(torch.autograd.Function):
    """Mean of squares whose gradient takes the place of its argument."""

    @staticmethod
    def forward(ctx: Any, difference: Tensor) -> Tensor:
        ctx.difference = difference
        return difference.square().mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        difference, ctx.difference = ctx.difference, None  # overwritten: good for one use
        return difference.mul_(2 * gradient / difference.numel())


class MeanSquaredError(nn.Module):
    r"""Mean squared error of a reconstruction, :math:`\frac1N \sum_i (\hat x_i - x_i)^2`.

    `torch.nn.MSELoss` with half its memory traffic: the difference is kept, and becomes the
    gradient in place. It can be differentiated once, and by the reconstruction only.

    Examples
    --------
    >>> MeanSquaredError()(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0]))
    tensor(2.)
    """

    def forward(self, rebuilt: Tensor, x: Tensor) -> Tensor:
        """Compare.

        Parameters
        ----------
        rebuilt, x : Tensor of one shape
            Reconstruction and input.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        return _MeanSquare.apply(rebuilt - x.detach())


def _split_errors(rebuilt: Tensor, x: Tensor, is_exposed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared errors of normal windows (n_normal,) and of exposed ones."""
    error = (rebuilt - x).square().flatten(1).mean(dim=1)  # (batch,)
    return error[~is_exposed], error[is_exposed]


def _mean(values: Tensor) -> Tensor:
    """Return the mean, and 0 of nothing: a batch may hold windows of one kind only."""
    return values.sum() / max(1, values.numel())


class SquashedExposure(nn.Module):
    r"""Small errors of normal windows, and large ones of exposed windows, up to a bound.

    .. math:: \frac1n \sum_{\text{normal}} e_i
        + \lambda\tau \, \frac1m \sum_{\text{exposed}} (1 - e'_j),
        \quad e' = \frac{e}{e + \tau}

    of the mean squared errors :math:`e` of windows.

    Parameters
    ----------
    scale : float, default=1.0
        :math:`\tau`, the error that is squashed to a half.
    weight : float, default=1.0
        :math:`\lambda`.

    Examples
    --------
    >>> x, rebuilt = torch.zeros(2, 4, 3), torch.tensor([1.0, 3.0])[:, None, None].expand(2, 4, 3)
    >>> is_exposed = torch.tensor([False, True])
    >>> SquashedExposure(scale=3.0)(rebuilt, x, is_exposed)  # 1 + 3 (1 - 9 / 12)
    tensor(1.7500)
    """

    def __init__(self, scale: float = 1.0, weight: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.weight = weight

    def forward(self, rebuilt: Tensor, x: Tensor, is_exposed: Tensor) -> Tensor:
        """Compare.

        Parameters
        ----------
        rebuilt, x : Tensor of shape (batch, n_mels, window_length)
            Reconstruction and input.
        is_exposed : Tensor of shape (batch,), bool
            Which windows are outliers.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        normal, exposed = _split_errors(rebuilt, x, is_exposed)
        missing = self.scale / (exposed + self.scale)  # 1 - e', which keeps its digits near 0
        return _mean(normal) + self.weight * self.scale * _mean(missing)


class MarginExposure(nn.Module):
    r"""Small errors of normal windows, and larger ones of exposed windows, by a margin.

    .. math:: \frac1n \sum_{\text{normal}} e_i + \lambda\tau \, \frac1{nm}
        \sum_{\text{normal}} \sum_{\text{exposed}} \max(0, \mu - (\ln e_j - \ln e_i))

    of the mean squared errors :math:`e` of windows. Every normal window of a batch is compared
    with every exposed one.

    Parameters
    ----------
    scale : float, default=1.0
        :math:`\tau`, an error that counts as much as a margin of 1.
    weight : float, default=1.0
        :math:`\lambda`.
    margin : float, default=0.0
        :math:`\mu`.

    References
    ----------
    .. [1] P. Primus et al., "CP-JKU submission to DCASE'21: improving out-of-distribution detectors
       for machine condition monitoring with proxy outliers & domain adaptation via semantic
       alignment", DCASE Challenge 2021.

    Examples
    --------
    >>> x, rebuilt = torch.zeros(2, 4, 3), torch.tensor([1.0, 3.0])[:, None, None].expand(2, 4, 3)
    >>> is_exposed = torch.tensor([False, True])
    >>> MarginExposure(margin=3.0)(rebuilt, x, is_exposed)  # 1 + 3 - ln 9
    tensor(1.8028)
    """

    def __init__(self, scale: float = 1.0, weight: float = 1.0, margin: float = 0.0) -> None:
        super().__init__()
        self.scale = scale
        self.weight = weight
        self.margin = margin

    def forward(self, rebuilt: Tensor, x: Tensor, is_exposed: Tensor) -> Tensor:
        """Compare.

        Parameters
        ----------
        rebuilt, x : Tensor of shape (batch, n_mels, window_length)
            Reconstruction and input.
        is_exposed : Tensor of shape (batch,), bool
            Which windows are outliers.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        normal, exposed = _split_errors(rebuilt, x, is_exposed)
        lead = exposed.clamp_min(_TINY).log() - normal.clamp_min(_TINY).log()[:, None]
        short = (self.margin - lead).clamp_min(0)  # (n_normal, n_exposed)
        return _mean(normal) + self.weight * self.scale * _mean(short)


class MaskedMSE(nn.Module):
    r"""Mean squared error of what was hidden, :math:`\sum_i m_i (\hat x_i - x_i)^2 / \sum_i m_i`.

    Parameters
    ----------
    everywhere : bool, default=False
        Count what was shown as well: the plain mean squared error.

    Examples
    --------
    >>> x, painted = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 2.0])
    >>> MaskedMSE()((painted, torch.tensor([True, False])), x)
    tensor(4.)
    """

    def __init__(self, everywhere: bool = False) -> None:
        super().__init__()
        self.everywhere = everywhere

    def forward(self, inpainting: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        """Compare.

        Parameters
        ----------
        inpainting : (Tensor, Tensor), both of the shape of x
            What was painted, and the mask: True where x was hidden.
        x : Tensor
            The truth.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        painted, mask = inpainting
        error = (painted - x).square()
        if self.everywhere:
            return error.mean()
        return error.masked_fill(~mask, 0).sum() / mask.sum()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    r"""Penalise a critic whose slope is not 1 between real and made-up data.

    .. math:: \frac1B \sum_i \big(\|\nabla_{\hat x_i} D(\hat x_i)\|_2 - 1\big)^2, \quad
        \hat x_i = u_i x_i + (1 - u_i) r_i, \quad u_i \sim U(0, 1)

    Parameters
    ----------
    critic : callable
        Maps (batch, ...) to (batch,), each row by itself.
    real, fake : Tensor of shape (batch, ...)
        :math:`x` and :math:`r`; no gradient goes to them.

    Returns
    -------
    Tensor of shape ()
        The penalty, which can be differentiated by the critic's weights.

    References
    ----------
    .. [1] I. Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017.

    Examples
    --------
    >>> linear = torch.nn.Linear(2, 1)
    >>> _ = linear.weight.data.copy_(torch.tensor([[3.0, 4.0]]))  # of slope 5, everywhere
    >>> gradient_penalty(lambda x: linear(x)[:, 0], torch.rand(8, 2), torch.rand(8, 2)).item()
    16.0
    """
    u = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(fake.detach(), real.detach(), u).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def feature_matching(fake: Tensor, real: Tensor, deviation: bool = False) -> Tensor:
    r"""Compare two batches of features by their means, and their deviations.

    .. math:: \frac1d \sum_j (\bar f_j - \bar g_j)^2
        \quad \Big[ + \frac1d \sum_j (\sigma(f_j) - \sigma(g_j))^2 \Big]

    Parameters
    ----------
    fake, real : Tensor of shape (batch, n_features)
        :math:`f` and :math:`g`; of one batch each.
    deviation : bool, default=False
        Add the second term, with deviations that divide by the batch size.

    Returns
    -------
    Tensor of shape ()
        The loss.

    References
    ----------
    .. [1] T. Salimans et al., "Improved techniques for training GANs", NeurIPS 2016.

    Examples
    --------
    >>> fake, real = torch.tensor([[0.0], [4.0]]), torch.tensor([[4.0], [6.0]])
    >>> feature_matching(fake, real), feature_matching(fake, real, deviation=True)
    (tensor(9.), tensor(10.))
    """
    loss = (fake.mean(dim=0) - real.mean(dim=0)).square().mean()
    if deviation:
        spread = [x.std(dim=0, correction=0) for x in (fake, real)]
        loss = loss + (spread[0] - spread[1]).square().mean()
    return loss


class FocalLoss(nn.Module):
    r"""Focal loss of cells that are normal or anomalous, which counts hard ones most.

    .. math:: -\frac1N \sum_i (1 - p_i)^\gamma \ln p_i

    with :math:`p_i` the softmax probability of the true class, the target being smoothed by 1e-5
    as in the code of DSR.

    Parameters
    ----------
    gamma : float, default=2.0
        :math:`\gamma`.

    Examples
    --------
    >>> loss = FocalLoss()(torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool))
    >>> round(float(loss), 4)  # 0.25 ln 2
    0.1733
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare.

        Parameters
        ----------
        logits : Tensor of shape (batch, 2, height, width)
            Of normal and anomalous.
        mask : Tensor of shape (batch, height, width), bool
            True where anomalous.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        probability = logits.softmax(dim=1)
        target = mask.float().clamp(_SMOOTH, 1 - _SMOOTH)
        p = (1 - target) * probability[:, 0] + target * probability[:, 1] + _SMOOTH
        return -((1 - p).clamp(min=0).pow(self.gamma) * p.log()).mean()


class RebuiltLoss(nn.Module):
    """Squared error of a discrete autoencoder, and what its codebooks add.

    Examples
    --------
    >>> x = torch.zeros(1, 2, 2)
    >>> RebuiltLoss()((x, x + 1, torch.tensor(0.5)), None)
    tensor(1.5000)
    """

    def forward(self, output: tuple[Tensor, Tensor, Tensor], _: Any) -> Tensor:
        """Sum up.

        Parameters
        ----------
        output : (Tensor, Tensor, Tensor)
            Input and reconstruction of one shape, and the loss of the quantisers.
        _ : ignored
            The windows in dB; the net has scaled them.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        x, rebuilt, of_codes = output
        return (rebuilt - x).square().mean() + of_codes


class RestorationLoss(nn.Module):
    r"""Loss of AudDSR's second stage: restoration of what was normal, detection of what was not.

    .. math:: \sum_{\text{levels}} \|f - q\|^2 + \lambda \|\hat x - x\|^2 + \text{focal}

    Windows of exposed clips are anomalous everywhere; nothing of them is to be restored.

    Parameters
    ----------
    image_weight : float, default=10.0
        :math:`\lambda`, of the spectrogram.
    mask_weight : float, default=0.0
        Of the mean absolute error of the map, which focal loss leaves undecided for long.
    """

    def __init__(self, image_weight: float = 10.0, mask_weight: float = 0.0) -> None:
        super().__init__()
        self.image_weight = image_weight
        self.mask_weight = mask_weight
        self.focal = FocalLoss()

    def forward(self, output: Any, is_exposed: Tensor) -> Tensor:
        """Sum up.

        Parameters
        ----------
        output : Restored
            Of the second stage.
        is_exposed : Tensor of shape (batch,), bool
            Which windows are outliers.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        own = ~is_exposed.bool()
        mask = output.mask | ~own[:, None, None]
        loss = self.focal(output.logits, mask)
        if self.mask_weight:
            probability = output.logits.softmax(dim=1)[:, 1]
            loss = loss + self.mask_weight * (probability - mask.float()).abs().mean()
        if own.any():
            pairs = zip(output.features, output.targets, strict=True)
            loss = loss + sum((f[own] - q[own]).square().mean() for f, q in pairs)
            error = (output.rebuilt[own] - output.x[own]).square().mean()
            loss = loss + self.image_weight * error
        return loss


def normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of Gaussians from the standard normal one.

    .. math:: -\frac12 \sum_j (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2)

    Parameters
    ----------
    mean, log_variance : Tensor of shape (batch, n_features)
        :math:`\mu` and :math:`\log \sigma^2` of independent features.

    Returns
    -------
    Tensor of shape (batch,)
        In nats, never negative.

    Examples
    --------
    >>> normal_divergence(torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2))
    tensor([2.])
    """
    # expm1 keeps the digits of variances near 1, where most of a latent vector's are.
    return 0.5 * (torch.expm1(log_variance) - log_variance + mean.square()).sum(dim=1)


class VAELoss(nn.Module):
    """Loss of a variational autoencoder: squared error and divergence from the prior.

    The error is the mean over all values, the divergence a sum over the latent vector, and the mean
    over the batch.

    Examples
    --------
    >>> from sklasd.nets._vae import VAE
    >>> net = VAE(3, hidden_layer_sizes=(4,), latent_features=2)
    >>> VAELoss()(net(torch.rand(8, 3)), None).shape
    torch.Size([])
    """

    def forward(self, output: Any, _: Any) -> Tensor:
        """Sum up.

        Parameters
        ----------
        output : Rebuilt
            Of the autoencoder.
        _ : ignored
            The batch; the output holds what was to be rebuilt of it.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        x, rebuilt, encoded = output
        divergence = normal_divergence(encoded.mean, encoded.log_variance)
        return (rebuilt - x).square().mean() + divergence.mean()


class CenterLoss(nn.Module):
    r"""Pull the feature vectors of a class to its centre, which follows them.

    .. math:: L_C = \frac{1}{B m} \sum_{i=1}^B \|x_i - c_{y_i}\|^2 \quad \text{or} \quad
        L_C = \frac12 \sum_{i=1}^B \|x_i - c_{y_i}\|^2

    for a batch of B vectors of m classes. In training mode the centres then move, without any
    gradient:

    .. math:: c_j \leftarrow c_j - \alpha \frac{\sum_{i: y_i = j} (c_j - x_i)}{1 + n_j} .

    Parameters
    ----------
    n_classes : int
        :math:`m`.
    n_features : int
        Length of the vectors.
    rate : float, default=1.0
        :math:`\alpha`.
    reduction : {"mean", "sum"}, default="mean"
        Which of the two.

    Attributes
    ----------
    centers : Tensor of shape (n_classes, n_features)
        At first 0.

    References
    ----------
    .. [1] Y. Wen, K. Zhang, Z. Li, Y. Qiao, "A discriminative feature learning approach for deep
       face recognition", ECCV 2016.

    Examples
    --------
    >>> loss = CenterLoss(2, 1, reduction="sum")
    >>> loss(torch.tensor([[1.0], [2.0], [6.0]]), torch.tensor([0, 0, 1]))
    tensor(20.5000)
    >>> loss.centers
    tensor([[1.],
            [3.]])
    """

    centers: Tensor

    def __init__(
        self, n_classes: int, n_features: int, rate: float = 1.0, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.register_buffer("centers", torch.zeros(n_classes, n_features))
        self.rate = rate
        self.reduction = reduction

    def forward(self, features: Tensor, label: Tensor) -> Tensor:
        """Compare; in training, move the centres afterwards.

        Parameters
        ----------
        features : Tensor of shape (batch, n_features)
            The vectors.
        label : Tensor of shape (batch,), int64
            Their classes.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        each = self._factor * (features - self.centers[label]).square().sum(dim=1)
        if self.training:
            self._follow(features.detach(), label)
        return each.mean() if self.reduction == "mean" else each.sum()

    def by_class(self, features: Tensor) -> Tensor:
        """Return the loss of each vector by itself, for each class that it may be of.

        Parameters
        ----------
        features : Tensor of shape (batch, n_features)
            The vectors.

        Returns
        -------
        Tensor of shape (batch, n_classes)
            As `forward` of a batch of one.
        """
        return self._factor * (features[:, None] - self.centers).square().sum(dim=2)

    @property
    def _factor(self) -> float:
        return 1 / len(self.centers) if self.reduction == "mean" else 0.5

    @torch.no_grad()
    def _follow(self, features: Tensor, label: Tensor) -> None:
        total, count = self._sums(features, label)
        self.centers -= self.rate * (count * self.centers - total) / (1 + count)

    def _sums(self, features: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Sum up each class (n_classes, n_features), and count it, (n_classes, 1)."""
        member = nn.functional.one_hot(label, len(self.centers)).to(features.dtype)
        # A product, as a GPU would scatter in any order.
        return member.T @ features, member.sum(dim=0)[:, None]

    @torch.no_grad()
    def settle(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Move the centres to where their rule would hold them: the means of their classes.

        Parameters
        ----------
        batches : iterable of (Tensor, Tensor)
            Features and labels of the whole training data.
        """
        sums = [self._sums(features, label) for features, label in batches]
        total, count = (torch.stack(parts).sum(dim=0) for parts in zip(*sums, strict=True))
        self.centers.copy_(torch.where(count > 0, total / count.clamp(min=1), self.centers))


class CenterVAELoss(VAELoss):
    r"""Loss of CL-VAE: that of a variational autoencoder, and :math:`\lambda L_C` of its codes.

    Parameters
    ----------
    n_classes : int
        Sections, each with a centre.
    n_code : int
        Width of the code.
    weight : float, default=150.0
        :math:`\lambda`.
    rate, reduction
        As in `CenterLoss`.
    """

    def __init__(
        self,
        n_classes: int,
        n_code: int,
        weight: float = 150.0,
        rate: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.weight = weight
        self.center = CenterLoss(n_classes, n_code, rate, reduction)

    def forward(self, output: Any, label: Tensor) -> Tensor:
        """Sum up; in training, move the centres afterwards.

        Parameters
        ----------
        output : Rebuilt
            Of the autoencoder.
        label : Tensor of shape (batch,), int64
            Number of the section.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        return super().forward(output, label) + self.weight * self.center(
            output.encoded.code, label
        )

    def settle(self, batches: Iterable[tuple[Any, Tensor]]) -> None:
        """Settle the centres, by outputs of the trained autoencoder and their sections."""
        self.center.settle((output.encoded.code, label) for output, label in batches)
