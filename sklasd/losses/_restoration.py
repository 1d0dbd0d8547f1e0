"""Losses of the two stages of AudDSR."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

_SMOOTH = 1e-5  # distance of targets from 0 and 1


class FocalLoss(nn.Module):
    r"""Focal loss of normal and anomalous cells, which weighs hard cells most.

    .. math:: -\frac1N \sum_i (1 - p_i)^\gamma \ln p_i

    where :math:`p_i` is the softmax probability of the true class. Targets are smoothed by 1e-5, as
    in the code of DSR.

    Parameters
    ----------
    gamma : float, default=2.0
        :math:`\gamma`.

    Examples
    --------
    >>> import torch
    >>> loss = FocalLoss()(torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool))
    >>> round(float(loss), 4)  # 0.25 ln 2
    0.1733
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss, a tensor of shape ().

        Parameters
        ----------
        logits : Tensor of shape (batch, 2, height, width)
            Logits of normal and anomalous.
        mask : Tensor of shape (batch, height, width), bool
            True where anomalous.
        """
        probability = logits.softmax(dim=1)
        target = mask.float().clamp(_SMOOTH, 1 - _SMOOTH)
        # The smoothing keeps the logarithm finite where the net is sure and wrong.
        p = (1 - target) * probability[:, 0] + target * probability[:, 1] + _SMOOTH
        # With the smoothing p may exceed 1, and a power of a negative number is NaN.
        return -((1 - p).clamp(min=0).pow(self.gamma) * p.log()).mean()


class RebuiltLoss(nn.Module):
    """Squared error of a discrete autoencoder, plus the loss of its codebooks.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(1, 2, 2)
    >>> RebuiltLoss()((x, x + 1, torch.tensor(0.5)), None)
    tensor(1.5000)
    """

    def forward(self, output: tuple[Tensor, Tensor, Tensor], _: Any) -> Tensor:
        """Return the loss, a tensor of shape ().

        Parameters
        ----------
        output : (Tensor, Tensor, Tensor)
            Input and reconstruction of one shape, and the loss of the quantisers.
        _ : ignored
            The windows in dB; the output holds them scaled.
        """
        x, rebuilt, codebook_loss = output
        return (rebuilt - x).square().mean() + codebook_loss


class RestorationLoss(nn.Module):
    r"""Loss of the second stage of AudDSR: restoration and detection.

    .. math:: \sum_{\text{levels}} \|f - q\|^2 + \lambda \|\hat x - x\|^2 + \text{focal}

    Windows of exposed clips are anomalous everywhere, and are not restored.

    Parameters
    ----------
    image_weight : float, default=10.0
        :math:`\lambda`, weight of the spectrogram.
    mask_weight : float, default=0.0
        Weight of the mean absolute error of the map, which speeds up decisions that focal loss
        alone takes late.
    """

    def __init__(self, image_weight: float = 10.0, mask_weight: float = 0.0) -> None:
        super().__init__()
        self.image_weight = image_weight
        self.mask_weight = mask_weight
        self.focal = FocalLoss()

    def forward(self, output: Any, is_exposed: Tensor) -> Tensor:
        """Return the loss, a tensor of shape ().

        Parameters
        ----------
        output : Restored
            Output of the second stage.
        is_exposed : Tensor of shape (batch,), bool
            Which windows are outliers.
        """
        own = ~is_exposed.bool()
        mask = output.mask | ~own[:, None, None]
        loss = self.focal(output.logits, mask)
        if self.mask_weight:
            probability = output.logits.softmax(dim=1)[:, 1]
            loss = loss + self.mask_weight * (probability - mask.float()).abs().mean()
        if own.any():  # the mean over no windows would be NaN
            pairs = zip(output.features, output.targets, strict=True)
            loss = loss + sum((f[own] - q[own]).square().mean() for f, q in pairs)
            error = (output.rebuilt[own] - output.x[own]).square().mean()
            loss = loss + self.image_weight * error
        return loss
