"""CL-VAE: a variational autoencoder whose codes gather around centres (Narita, Tamamori, 2021)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sklasd.base import NetDetector, TrainingClips
from sklasd.base._sections import Sections
from sklasd.detectors._section_vae import (
    CONSTRAINTS,
    check_layer_sizes,
    make_vae,
    measure_rows,
)
from sklasd.losses import CenterVAELoss
from sklasd.training import WindowNet, Windows
from sklasd.training._cache import train_cached

_SHARE_IN_ENSEMBLE = 0.01  # the report's factor that brings eq. (10) to the scale of eq. (9)


class CLVAEDetector(NetDetector):
    r"""Detect anomalies by a variational autoencoder whose codes gather around centres.

    The encoder maps an embedding :math:`x` to a code :math:`h`, and this to a Gaussian of latent
    vectors; the decoder maps one of them to :math:`\hat x`. They learn from normal clips by

    .. math:: L = \overline{(x - \hat x)^2}
        - \frac12 \sum_j (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2)
        + \lambda L_C, \quad L_C = \frac{1}{m} \|h - c_y\|^2 ,

    where :math:`c_y` is the centre of the clip's section, one of :math:`m` sections. After each
    batch the centres follow the codes of their sections,

    .. math:: c_j \leftarrow c_j - \alpha \frac{\sum_{i: y_i = j} (c_j - h_i)}{1 + n_j} .

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(1024, 1024, 1024, 512)
        Widths of the encoder's layers; the last one makes the code. The decoder mirrors them.
    latent_features : int, default=512
        Width of the latent vector.
    center_weight : float, default=150.0
        :math:`\lambda`, in training and in scoring.
    center_rate : float, default=1.0
        :math:`\alpha`.
    center_reduction : {"mean", "sum"}, default="mean"
        Scale of :math:`L_C`: "mean" is the mean over the clips of a batch and over the sections,
        "sum" is half of the sum over a batch, as printed in the report's equation (3).
    n_draws : int, default=0
        Number of random latent vectors per clip in scoring, from the same noise for every clip; 0
        takes the mean of the clip's Gaussian instead.
    anomaly_score : {"ensemble", "elbo", "elbo_center", "reconstruction"}, default="ensemble"
        "elbo" is the loss without centres, equation (9); "elbo_center" is the whole loss, (10);
        "ensemble" is the former plus a hundredth of the latter, the report's second system;
        "reconstruction" is the mean squared error alone.
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
        Names of the sections in `fit`, each with a centre; "all" without sections.
    centers_ : ndarray of shape (n_sections, n_code), float32
        The centres.
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
    CVAEDetector : The net that the report compares it with.

    Notes
    -----
    `section` chooses the centres; `domain` and `groups` only guide the split into folds, and
    exposed clips are left out. Without sections there is one centre, and codes may shrink to it:
    small nets on statistics of synthetic fans then had codes of length 0.02, and 3.5 with three
    sections. Attributes may serve as sections.

    "elbo_center" and "ensemble" measure the distance to the centre of the clip's own section, as
    the report does. Pass sections to `score_samples`, `predict` and the others as well,
    ``predict(X, section=...)``; a pipeline of sklasd reads them from the column of a clip table.
    Without a section the nearest centre counts, whose score is never lower; so it does, with a
    warning, for sections in a column that were not in `fit`. Passed as an argument, such sections
    are an error. The threshold is that of the own centres; if the calibration holds out all clips
    of a section, the nearest centre counts for them. Fitted without sections, it ignores them.

    The embeddings of the report are mean outputs of the 16 residual blocks of a pretrained
    ResNet38, 3,776 numbers per clip, without scaling. Any others work, but the terms of the loss
    are on different scales: the error is a mean over features, the divergence a sum over the latent
    vector, so that the latent vector tends to say little beside the section.

    The network is that of the report's Table 1, with 13,796,416 parameters. What the report leaves
    open, or prints otherwise:

    - Its :math:`\lambda` of 150 would drown the rest of the loss with the sums of its equation (3).
      Its author's code takes the mean over the matrix of clips and sections, which is mostly 0:
      hence "mean", the division by :math:`m`.
    - Its equation (7) has :math:`\log \sigma` for :math:`\log \sigma^2`; here the divergence is the
      usual one, averaged over the batch, as in that code.
    - Step size, batch and epochs are those of that code in May 2021. It chose the epoch by
      labelled test clips; here it is the last.
    - That code draws latent vectors at random in scoring, so that a clip scores differently each
      time; here see `n_draws`.
    - A last layer that ends in ReLU cannot rebuild negative values, such as those of a
      `StandardScaler`: for these the net ends in batch normalisation.
    - The last normalisation starts at the mean and the deviation of the training clips' features,
      which changes no layer.
    - The centres start at 0. After training they are set to the means of their sections' codes,
      where their rule converges.

    An embedding of 3,776 costs 14 million multiply-adds to score.

    References
    ----------
    .. [1] H. Narita, A. Tamamori, "Unsupervised anomalous sound detection using intermediate
       representation of trained models and metric learning based variational autoencoder", DCASE
       Challenge 2021.
    .. [2] Y. Wen, K. Zhang, Z. Li, Y. Qiao, "A discriminative feature learning approach for deep
       face recognition", ECCV 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import CLVAEDetector
    >>> section = np.repeat(["00", "01"], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 8)) + 5 * (section == "01")[:, None]
    >>> detector = CLVAEDetector(
    ...     hidden_layer_sizes=(16, 8), latent_features=4, max_epochs=50, calibration=None,
    ...     random_state=0,
    ... ).fit(X, section=section)
    >>> detector.predict(X[:1] - 20)
    array([-1])
    """

    _clip_scores = ("reconstruction", "elbo", "elbo_center", "ensemble")
    _takes_embeddings = True  # one window per clip: there is no parameter `pooling`
    _score_params = ("anomaly_score", "n_draws")  # a threshold holds for both
    _parameter_constraints: ClassVar[dict] = {
        **CONSTRAINTS,
        "center_weight": [Interval(Real, 0, None, closed="left")],
        "center_rate": [Interval(Real, 0, None, closed="neither")],
        "center_reduction": [StrOptions({"mean", "sum"})],
    }

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (1024, 1024, 1024, 512),
        latent_features: int = 512,
        center_weight: float = 150.0,
        center_rate: float = 1.0,
        center_reduction: str = "mean",
        n_draws: int = 0,
        anomaly_score: str = "ensemble",
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
        self.center_weight = center_weight
        self.center_rate = center_rate
        self.center_reduction = center_reduction
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

    @property
    def centers_(self) -> np.ndarray:
        """Centres of the sections' codes, shape (n_sections, n_code)."""
        # A copy: the net goes on using its own.
        return self.net_.criterion_.center.centers.numpy(force=True).copy()

    def _window(self) -> tuple[int, int]:
        return 1, 1  # an embedding is one window

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        check_layer_sizes(self.hidden_layer_sizes)

    def _train_nets(self, clips: TrainingClips) -> dict[str, WindowNet]:
        self._sections = Sections.learn(clips)
        self.sections_, self._learnt_sections = self._sections.names, self._sections.given
        windows = self._training_windows(clips).with_targets(self._sections.of_training(clips))
        return {"net": train_cached(self, self._make_net(windows, clips), windows)}

    def _make_net(self, windows: Windows, clips: TrainingClips) -> WindowNet:
        weight = self.center_weight
        if self.center_reduction == "mean":
            # The mean is over all sections, even if a fold lacks some: losses keep one scale.
            weight *= len(self.sections_) / len(Sections.learn(clips.whole).names)
        return make_vae(
            self,
            clips,
            criterion=CenterVAELoss,
            criterion__n_classes=len(self.sections_),
            criterion__n_code=tuple(self.hidden_layer_sizes)[-1],
            criterion__weight=weight,
            criterion__rate=self.center_rate,
            criterion__reduction=self.center_reduction,
        )

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        loss = self.net_.criterion_.to(x.device)  # the centres are part of the loss
        error, divergence, code = measure_rows(self, x)
        # With an axis of sections, which all but the distance to the centre ignore.
        error, elbo = error[:, None], (error + divergence)[:, None]
        whole = elbo + loss.weight * loss.center.by_class(code)  # (batch, n_sections)
        ensemble = elbo + _SHARE_IN_ENSEMBLE * whole
        values = {
            "reconstruction": error, "elbo": elbo, "elbo_center": whole, "ensemble": ensemble
        }  # fmt: skip
        return {name: values[name] for name in scores}

    def _join(
        self,
        pooled: dict[str, np.ndarray],
        scores: Collection[str],
        section: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        # (n_clips, n_sections), or (n_clips, 1) for scores that need no section
        return {name: self._sections.pick(pooled[name], section) for name in scores}
