"""Losses of outlier exposure for reconstruction errors (Kazakova et al., 2022)."""

from __future__ import annotations

from torch import Tensor, nn

_TINY = 1e-12  # least error whose logarithm is taken


def _split_errors(rebuilt: Tensor, x: Tensor, is_exposed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared errors of normal windows (n_normal,) and of exposed ones."""
    error = (rebuilt - x).square().flatten(1).mean(dim=1)  # (batch,)
    return error[~is_exposed], error[is_exposed]


def _mean(values: Tensor) -> Tensor:
    """Return the mean, or 0 without values."""
    # A batch may hold windows of one kind only, and NaN would destroy all weights.
    return values.sum() / max(1, values.numel())


class SquashedExposure(nn.Module):
    r"""Loss that asks for small errors of normal windows, and large ones of exposed windows.

    .. math:: \frac1n \sum_{\text{normal}} e_i
        + \lambda\tau \, \frac1m \sum_{\text{exposed}} (1 - e'_j),
        \quad e' = \frac{e}{e + \tau}

    with the mean squared errors :math:`e` of windows. Exposed windows with a large error hardly
    count, so that they cannot outweigh the normal ones.

    Parameters
    ----------
    scale : float, default=1.0
        :math:`\tau`, the error that is squashed to a half.
    weight : float, default=1.0
        :math:`\lambda`.

    Examples
    --------
    >>> import torch
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
        """Return the loss, a tensor of shape ().

        Parameters
        ----------
        rebuilt, x : Tensor of shape (batch, n_mels, window_length)
            Reconstruction and input.
        is_exposed : Tensor of shape (batch,), bool
            Which windows are outliers.
        """
        normal, exposed = _split_errors(rebuilt, x, is_exposed)
        missing = self.scale / (exposed + self.scale)  # 1 - e', which keeps its digits near 0
        return _mean(normal) + self.weight * self.scale * _mean(missing)


class MarginExposure(nn.Module):
    r"""Loss that asks for errors of exposed windows that exceed those of normal ones by a margin.

    .. math:: \frac1n \sum_{\text{normal}} e_i + \lambda\tau \, \frac1{nm}
        \sum_{\text{normal}} \sum_{\text{exposed}} \max(0, \mu - (\ln e_j - \ln e_i))

    with the mean squared errors :math:`e` of windows. Every normal window of a batch is compared
    with every exposed one.

    Parameters
    ----------
    scale : float, default=1.0
        :math:`\tau`, the error that weighs as much as a missing margin of 1.
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
    >>> import torch
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
        """Return the loss, a tensor of shape ().

        Parameters
        ----------
        rebuilt, x : Tensor of shape (batch, n_mels, window_length)
            Reconstruction and input.
        is_exposed : Tensor of shape (batch,), bool
            Which windows are outliers.
        """
        normal, exposed = _split_errors(rebuilt, x, is_exposed)
        lead = exposed.clamp_min(_TINY).log() - normal.clamp_min(_TINY).log()[:, None]
        short = (self.margin - lead).clamp_min(0)  # (n_normal, n_exposed)
        return _mean(normal) + self.weight * self.scale * _mean(short)
