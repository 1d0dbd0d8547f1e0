"""Losses of AudDSR's two stages."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

_SMOOTH = 1e-5  # of a target of 0 or 1


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
    >>> import torch
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
    >>> import torch
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
