"""A skorch net of a generator and a critic that learn from each other (AEGAN-AD)."""

from __future__ import annotations

from typing import Any, Self

import torch
from skorch.callbacks import PassthroughScoring
from torch import Tensor

from sklasd.losses import feature_matching, gradient_penalty
from sklasd.training._window_net import WindowNet

CURVES = ("critic_loss", "gradient_penalty", "critic_margin")  # beside train_loss


class AdversarialNet(WindowNet):
    r"""Train a generator to rebuild, and a critic to tell rebuilt from real.

    Each step takes a batch :math:`x` and its reconstruction :math:`r = G(x)`. First the critic
    :math:`D` learns by

    .. math:: -\overline{D(x)} + \overline{D(r)} + \lambda \; \text{gradient penalty},

    then, every `n_critic` steps, the generator by :math:`\text{criterion}(r, x)` plus
    `matching_weight` times the feature matching of the critic's embeddings of :math:`r` and
    :math:`x`. The generator has no adversarial term.

    Parameters
    ----------
    module : type
        A torch module with the attributes ``generator`` and ``discriminator``, the latter with a
        method ``embed``, and with a method ``scale``, which makes of a batch what both take.
    criterion : type
        The reconstruction's loss.
    penalty_weight : float, default=10.0
        :math:`\lambda`.
    matching : {"mean", "mean_std"}, default="mean"
        What of the embeddings is matched.
    matching_weight : float, default=0.1
        Of feature matching.
    n_critic : int, default=1
        Steps of the critic to one of the generator.
    precision : {"32", "bf16"}, default="32"
        Of multiplications.
    *args, **kwargs
        As in `WindowNet`; `optimizer` and `lr` are those of both.

    Notes
    -----
    The reconstruction is computed once and serves both halves, as the critic's step does not
    change the generator: a quarter of the generator's work. In the second half the critic's
    weights get no gradient and :math:`x` is embedded without one, which saves half of the critic's
    work there. At the sizes of the paper that is a fifth of the multiplications of a step that
    computes all of it.

    The history holds, for each epoch, ``train_loss`` (the generator's; between its steps the last
    one counts again), ``critic_loss``, ``gradient_penalty`` and ``critic_margin``,
    :math:`\overline{D(x)} - \overline{D(r)}`.
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        penalty_weight: float = 10.0,
        matching: str = "mean",
        matching_weight: float = 0.1,
        n_critic: int = 1,
        precision: str = "32",
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, **kwargs)
        self.penalty_weight = penalty_weight
        self.matching = matching
        self.matching_weight = matching_weight
        self.n_critic = n_critic
        self.precision = precision

    @property
    def _default_callbacks(self) -> list:
        curves = [(name, PassthroughScoring(name, on_train=True)) for name in CURVES]
        return [*super()._default_callbacks, *curves]

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Self:
        """Make an optimiser for each of the two."""
        learners = {
            "optimizer_": self.module_.generator,
            "critic_optimizer_": self.module_.discriminator,
        }
        for name, learner in learners.items():
            trained = [(n, p) for n, p in learner.named_parameters() if p.requires_grad]
            args, kwargs = self.get_params_for_optimizer("optimizer", trained)
            setattr(self, name, self.optimizer(*args, **kwargs))
        self.n_steps_ = 0
        return self

    def train_step(self, batch: tuple[Tensor, Tensor], **fit_params: Any) -> dict[str, Any]:
        """Teach the critic, then the generator.

        Parameters
        ----------
        batch : (Tensor, Tensor)
            Windows, twice: an autoencoder's target is its input.
        **fit_params
            Not used.

        Returns
        -------
        dict
            The generator's ``loss``, and its output ``y_pred``.
        """
        x = self.module_.scale(batch[0])
        generator_learns = self.n_steps_ % self.n_critic == 0
        self.n_steps_ += 1
        with torch.set_grad_enabled(generator_learns), self._autocast():
            rebuilt = self.module_.generator(x).float()
        self._teach_critic(x, rebuilt.detach())
        if generator_learns:
            self.generator_loss_ = self._teach_generator(x, rebuilt)
        return {"loss": torch.tensor(self.generator_loss_), "y_pred": rebuilt.detach()}

    def _teach_critic(self, x: Tensor, rebuilt: Tensor) -> None:
        critic = self.module_.discriminator
        with self._autocast():
            penalty = gradient_penalty(critic, x, rebuilt)
            margin = critic(x).float().mean() - critic(rebuilt).float().mean()
        loss = self.penalty_weight * penalty - margin
        _descend(self.critic_optimizer_, loss)
        values = torch.stack([loss, penalty, margin]).tolist()  # the GPU is waited for once
        for name, value in zip(CURVES, values, strict=True):
            self.history.record_batch(name, value)

    def _teach_generator(self, x: Tensor, rebuilt: Tensor) -> float:
        embed = self.module_.discriminator.embed
        with self._autocast():
            with torch.no_grad():
                real = embed(x)
            matching = feature_matching(embed(rebuilt), real, self.matching == "mean_std")
        loss = self.criterion_(rebuilt, x) + self.matching_weight * matching
        _descend(self.optimizer_, loss)
        return loss.item()

    def _autocast(self) -> Any:
        device = torch.device(self.device).type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take a step of one optimiser, with gradients for its own parameters only."""
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.param_groups[0]["params"])
    optimizer.step()
