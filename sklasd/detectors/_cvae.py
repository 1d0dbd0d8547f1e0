"""CVAE: the conditional variational autoencoder that CL-VAE is compared with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sklasd.base import NetDetector, TrainingClips
from sklasd.base._sections import Sections
from sklasd.clips._spectrograms import Spectrograms
from sklasd.detectors._section_vae import (
    CONSTRAINTS,
    check_layer_sizes,
    make_vae,
    measure_rows,
)
from sklasd.losses import VAELoss
from sklasd.training import WindowNet, Windows
from sklasd.training._cache import train_cached


class CVAEDetector(NetDetector):
    r"""Detect anomalies by a variational autoencoder that gets the section as an input.

    Encoder and decoder get the section :math:`y` as a one-hot vector, beside the embedding
    :math:`x` and the latent vector. They learn from normal clips by

    .. math:: L = \overline{(x - \hat x)^2}
        - \frac12 \sum_j (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2) .

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(1024, 1024, 1024, 512)
        Widths of the encoder's layers; the decoder mirrors them.
    latent_features : int, default=512
        Width of the latent vector.
    n_draws : int, default=0
        Number of random latent vectors per clip in scoring, from the same noise for every clip; 0
        takes the mean of the clip's Gaussian instead.
    anomaly_score : {"elbo", "reconstruction"}, default="elbo"
        "elbo" is the loss of a clip, "reconstruction" the mean squared error alone.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``. A callable computes it from the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are computed. "auto" splits up to 100 normal clips into ten folds,
        and up to 200 clips, or clips with `groups`, into five; nets trained on the other folds, for
        as many steps, score each fold. From more clips it holds out a quarter. New clips are always
        scored by nets trained on all normal clips. An int is the number of folds; a scikit-learn
        splitter makes its own. None uses the training clips' own scores, as the papers do, which
        raises far more alarms than `contamination`. It trains once, and suits a search in which
        thresholds do not matter.
    lr : float, default=1e-3
        Step size of Adam.
    batch_size : int, default=512
        Clips in a training step.
    max_epochs : int, default=300
        Passes over the training clips.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order and latent vectors. None draws a new one and leaves
        the global generators alone.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of trained nets: a search over parameters of scoring and decision then trains once per
        fold. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is shown in terminals only.

    Attributes
    ----------
    sections_ : ndarray of str, shape (n_sections,)
        Names of the sections in `fit`; "all" without sections.
    net_ : skorch.NeuralNet
        The trained autoencoder.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    loss_curve_ : ndarray of shape (n_epochs,)
        Training loss of each epoch.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    CLVAEDetector : The report's own; its notes on embeddings, net and training apply here as well.

    Notes
    -----
    `section` is an input of the net; `domain` and `groups` only guide the split into folds, and
    exposed clips are left out. Without sections this is a plain variational autoencoder.

    The report's Table 4 has the figures of this net, and its text says only that it takes the same
    embeddings and the section labels. Here it is CL-VAE's net with the condition of [2]_.

    In scoring the net needs the section as well: `score_samples`, `predict` and the others take it
    as an argument, and a pipeline of sklasd reads it from a clip table. A clip without a section,
    or with one in the column that was not in `fit`, is scored by the section that gives it the best
    score; each section costs a pass through the net. Fitted without sections, it ignores them.

    References
    ----------
    .. [1] H. Narita, A. Tamamori, "Unsupervised anomalous sound detection using intermediate
       representation of trained models and metric learning based variational autoencoder", DCASE
       Challenge 2021.
    .. [2] K. Sohn, H. Lee, X. Yan, "Learning structured output representation using deep
       conditional generative models", NeurIPS 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import CVAEDetector
    >>> section = np.repeat(["00", "01"], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 8)) + 5 * (section == "01")[:, None]
    >>> detector = CVAEDetector(
    ...     hidden_layer_sizes=(16, 8), latent_features=4, max_epochs=50, calibration=None,
    ...     random_state=0,
    ... ).fit(X, section=section)
    >>> detector.predict(X[:1] - 20)
    array([-1])
    """

    _clip_scores = ("reconstruction", "elbo")
    _takes_embeddings = True  # one window per clip: there is no parameter `pooling`
    _score_params = ("anomaly_score", "n_draws")  # a threshold holds for both
    _parameter_constraints: ClassVar[dict] = CONSTRAINTS

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (1024, 1024, 1024, 512),
        latent_features: int = 512,
        n_draws: int = 0,
        anomaly_score: str = "elbo",
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
        lr: float = 1e-3,
        batch_size: int = 512,
        max_epochs: int = 300,
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.latent_features = latent_features
        self.n_draws = n_draws
        self.anomaly_score = anomaly_score
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.verbose = verbose

    def _window(self) -> tuple[int, int]:
        return 1, 1  # an embedding is one window

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        check_layer_sizes(self.hidden_layer_sizes)

    def _train_nets(self, clips: TrainingClips) -> dict[str, WindowNet]:
        self._sections = Sections.learn(clips)
        self.sections_, self._learnt_sections = self._sections.names, self._sections.given
        # The net gets the section as a one-hot vector behind the embedding.
        one_hot = np.eye(len(self.sections_), dtype=np.float32)[self._sections.of_training(clips)]
        rows = Spectrograms.of_rows(np.hstack([clips.data.frames, one_hot]))
        windows = self._training_windows(replace(clips, data=rows))
        return {"net": train_cached(self, self._make_net(windows, clips), windows)}

    def _make_net(self, windows: Windows, clips: TrainingClips) -> WindowNet:
        return make_vae(self, clips, criterion=VAELoss, module__n_conditions=len(self.sections_))

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        # The sections of the clips are not at hand here: each window is scored by all of them.
        of_sections = []
        for one_hot in torch.eye(len(self.sections_), device=x.device):
            rows = torch.cat([x, one_hot.expand(len(x), -1)], dim=1)
            error, divergence, _ = measure_rows(self, rows)
            of_sections.append({"reconstruction": error, "elbo": error + divergence})
        # (batch, n_sections) for each score
        return {name: torch.stack([s[name] for s in of_sections], dim=1) for name in scores}

    def _join(
        self,
        pooled: dict[str, np.ndarray],
        scores: Collection[str],
        section: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        # (n_clips, n_sections): the section is chosen for the clip, once its scores are known
        return {name: self._sections.pick(pooled[name], section) for name in scores}
