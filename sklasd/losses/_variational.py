"""Losses of variational autoencoders, and of codes with a centre for each class (CL-VAE)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of Gaussians from the standard normal distribution.

    .. math:: -\frac12 \sum_j (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2)

    Parameters
    ----------
    mean, log_variance : Tensor of shape (batch, n_features)
        :math:`\mu` and :math:`\log \sigma^2`, with independent features.

    Returns
    -------
    Tensor of shape (batch,)
        In nats, never negative.

    Examples
    --------
    >>> normal_divergence(torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2))
    tensor([2.])
    """
    # expm1 keeps the digits of variances near 1, as most variances of a latent vector are.
    return 0.5 * (torch.expm1(log_variance) - log_variance + mean.square()).sum(dim=1)


class VAELoss(nn.Module):
    """Loss of a variational autoencoder: squared error and divergence from the prior.

    The error is the mean over all values. The divergence is the sum over the latent vector and the
    mean over the batch.

    Examples
    --------
    >>> from sklasd.nets._vae import VAE
    >>> net = VAE(3, hidden_layer_sizes=(4,), latent_features=2)
    >>> VAELoss()(net(torch.rand(8, 3)), None).shape
    torch.Size([])
    """

    def forward(self, output: Any, _: Any) -> Tensor:
        """Return the loss, a tensor of shape ().

        Parameters
        ----------
        output : Rebuilt
            Output of the autoencoder.
        _ : ignored
            The batch; the output holds its embeddings without the condition.
        """
        x, rebuilt, encoded = output
        divergence = normal_divergence(encoded.mean, encoded.log_variance)
        return (rebuilt - x).square().mean() + divergence.mean()


class CenterLoss(nn.Module):
    r"""Pull the feature vectors of a class to its centre, which moves with them.

    .. math:: L_C = \frac{1}{B m} \sum_{i=1}^B \|x_i - c_{y_i}\|^2 \quad \text{or} \quad
        L_C = \frac12 \sum_{i=1}^B \|x_i - c_{y_i}\|^2

    for a batch of B vectors and m classes. In training mode the centres then move, without a
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
        The first or the second formula.

    Attributes
    ----------
    centers : Tensor of shape (n_classes, n_features)
        Initially 0.

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
        """Return the loss, a tensor of shape (); in training mode, move the centres afterwards.

        Parameters
        ----------
        features : Tensor of shape (batch, n_features)
            Feature vectors.
        label : Tensor of shape (batch,), int64
            Their classes.
        """
        losses = self._factor * (features - self.centers[label]).square().sum(dim=1)
        if self.training:
            self._follow(features.detach(), label)
        return losses.mean() if self.reduction == "mean" else losses.sum()

    def by_class(self, features: Tensor) -> Tensor:
        """Return the loss of each vector, taken alone, for each class, (batch, n_classes)."""
        return self._factor * (features[:, None] - self.centers).square().sum(dim=2)

    @property
    def _factor(self) -> float:
        return 1 / len(self.centers) if self.reduction == "mean" else 0.5

    @torch.no_grad()
    def _follow(self, features: Tensor, label: Tensor) -> None:
        total, count = self._sums(features, label)
        self.centers -= self.rate * (count * self.centers - total) / (1 + count)

    def _sums(self, features: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return sum (n_classes, n_features) and number (n_classes, 1) of each class's vectors."""
        member = nn.functional.one_hot(label, len(self.centers)).to(features.dtype)
        # A matrix product: a GPU would scatter in a random order, and sums would differ.
        return member.T @ features, member.sum(dim=0)[:, None]

    @torch.no_grad()
    def settle(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the centres to the means of their classes.

        Parameters
        ----------
        batches : iterable of (Tensor, Tensor)
            Features and labels of the whole training data.
        """
        sums = [self._sums(features, label) for features, label in batches]
        total, count = (torch.stack(parts).sum(dim=0) for parts in zip(*sums, strict=True))
        # The limit of the rule above for ever more batches. An unused class keeps its centre.
        self.centers.copy_(torch.where(count > 0, total / count.clamp(min=1), self.centers))


class CenterVAELoss(VAELoss):
    r"""Loss of CL-VAE: the loss of a variational autoencoder plus :math:`\lambda L_C` of its codes.

    Parameters
    ----------
    n_classes : int
        Number of sections, each with a centre.
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
        """Return the loss, a tensor of shape (); in training mode, move the centres afterwards.

        Parameters
        ----------
        output : Rebuilt
            Output of the autoencoder.
        label : Tensor of shape (batch,), int64
            Numbers of the sections.
        """
        return super().forward(output, label) + self.weight * self.center(
            output.encoded.code, label
        )

    def settle(self, batches: Iterable[tuple[Any, Tensor]]) -> None:
        """Settle the centres by outputs of the trained autoencoder and sections."""
        self.center.settle((output.encoded.code, label) for output, label in batches)
