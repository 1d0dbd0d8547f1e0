"""A skorch net of a generator and a critic that learn from each other (AEGAN-AD)."""

from __future__ import annotations

from typing import Any, Self

import torch
from skorch.callbacks import PassthroughScoring
from torch import Tensor

from sklasd.losses import feature_matching, gradient_penalty
from sklasd.training._window_net import WindowNet

CURVES = ("critic_loss", "gradient_penalty", "critic_margin")  # in the history, beside train_loss


class AdversarialNet(WindowNet):
    r"""Train a generator to rebuild windows, and a critic to separate them from real ones.

    Each step takes a batch :math:`x` and its reconstruction :math:`r = G(x)`. First the critic
    :math:`D` minimises

    .. math:: -\overline{D(x)} + \overline{D(r)} + \lambda \; \text{gradient penalty},

    then, every `n_critic` steps, the generator minimises :math:`\text{criterion}(r, x)` plus
    `matching_weight` times the feature matching of the critic's embeddings of :math:`r` and
    :math:`x`. The generator has no adversarial term.

    Parameters
    ----------
    module : type
        A torch module with the attributes ``generator`` and ``discriminator``, the latter with a
        method ``embed``, and with a method ``scale``, which turns a batch into the input of both.
    criterion : type
        Loss of the reconstruction.
    penalty_weight : float, default=10.0
        :math:`\lambda`.
    matching : {"mean", "mean_std"}, default="mean"
        Statistics of the embeddings that are matched.
    matching_weight : float, default=0.1
        Weight of feature matching.
    n_critic : int, default=1
        Steps of the critic for each step of the generator.
    precision : {"32", "bf16"}, default="32"
        Precision of multiplications.
    *args, **kwargs
        As in `WindowNet`; both learners share `optimizer` and `lr`.

    Notes
    -----
    The history holds for each epoch ``train_loss`` (that of the generator; between its steps the
    last one counts again), ``critic_loss``, ``gradient_penalty`` and ``critic_margin``,
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
        """Create an optimiser for each learner."""
        learners = {
            "optimizer_": self.module_.generator,
            "critic_optimizer_": self.module_.discriminator,
        }
        for name, learner in learners.items():
            # Fixed weights are left out: `_descend` passes the rest to `backward` as inputs.
            trained = [(n, p) for n, p in learner.named_parameters() if p.requires_grad]
            args, kwargs = self.get_params_for_optimizer("optimizer", trained)
            setattr(self, name, self.optimizer(*args, **kwargs))
        self.n_steps_ = 0
        return self

    def train_step(self, batch: tuple[Tensor, Tensor], **fit_params: Any) -> dict[str, Any]:
        """Train the critic, then the generator; return the ``loss`` and output of the latter."""
        x = self.module_.scale(batch[0])
        generator_learns = self.n_steps_ % self.n_critic == 0
        self.n_steps_ += 1
        # Computed once for both, as the step of the critic does not change the generator.
        with torch.set_grad_enabled(generator_learns), self._autocast():
            rebuilt = self.module_.generator(x).float()
        self._train_critic(x, rebuilt.detach())
        if generator_learns:
            self.generator_loss_ = self._train_generator(x, rebuilt)
        return {"loss": torch.tensor(self.generator_loss_), "y_pred": rebuilt.detach()}

    def _train_critic(self, x: Tensor, rebuilt: Tensor) -> None:
        critic = self.module_.discriminator
        with self._autocast():
            penalty = gradient_penalty(critic, x, rebuilt)
            margin = critic(x).float().mean() - critic(rebuilt).float().mean()
        loss = self.penalty_weight * penalty - margin
        _descend(self.critic_optimizer_, loss)
        values = torch.stack([loss, penalty, margin]).tolist()  # waits for the GPU only once
        for name, value in zip(CURVES, values, strict=True):
            self.history.record_batch(name, value)

    def _train_generator(self, x: Tensor, rebuilt: Tensor) -> float:
        embed = self.module_.discriminator.embed
        with self._autocast():
            with torch.no_grad():  # the embedding of x does not depend on the generator
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
    # The loss of the generator passes through the critic, whose weights need no gradient then.
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.param_groups[0]["params"])
    optimizer.step()
