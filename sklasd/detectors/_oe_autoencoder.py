"""Autoencoder with outlier exposure (Kazakova et al., 2022); without it, the DCASE baseline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sklasd.base import NetDetector, TrainingClips
from sklasd.base._window_maps import residual_moments, usual_power
from sklasd.losses import MarginExposure, MeanSquaredError, SquashedExposure
from sklasd.nets._dense_autoencoder import DenseAutoencoder
from sklasd.scores import mahalanobis_squared, whitening_matrix
from sklasd.training import ComparingNet, WindowNet, Windows
from sklasd.training._cache import train_cached
from sklasd.utils._rows import by_rows

_DOMAINS = ("source", "target")


def _variance(windows: Windows) -> float:
    """Return the mean squared deviation of windows from their mean, in dB²."""
    # In batches on the device: copies of all windows would take `window_length` times the memory.
    mean = windows.mean().to(windows.device)
    total = sum(float((x - mean).square().mean(dim=(1, 2)).sum()) for x in windows.batches(4096))
    return max(total / len(windows), float(np.finfo(np.float32).tiny))


class OEAutoencoder(NetDetector):
    r"""Detect anomalies by the error of an autoencoder on stacked frames of a spectrogram.

    A fully connected autoencoder squeezes windows of `window_length` frames through a few numbers
    and rebuilds them. It learns from normal windows :math:`x` only, by their mean squared error.
    The anomaly score is that error on a clip's windows, or the Mahalanobis length of the residual
    :math:`d = x - \hat x` of its frames,

    .. math:: \min_{\text{source, target}} \; d^\top \Sigma^{-1} d ,

    where :math:`\Sigma` is the covariance of the residuals of normal training clips, one for each
    domain passed to `fit`.

    With exposed clips in `fit`, the net learns to rebuild these worse. With the mean squared errors
    :math:`e_i` of normal windows and :math:`e_j` of as many exposed ones, it minimises

    .. math:: \operatorname{mean}_i e_i + \lambda\tau \begin{cases}
        \operatorname{mean}_{i, j} \max(0, \mu - \ln (e_j / e_i)) & \text{"margin"}
        \\ \operatorname{mean}_j \big(1 - e_j / (e_j + \tau)\big) & \text{"squashed"}
        \end{cases}

    where :math:`\tau` is the variance of normal windows about their mean. The score is the same.

    Parameters
    ----------
    window_length : int, default=5
        Frames in a window.
    hop : int, default=1
        Frames from one window to the next, in training and in scoring.
    hidden_layer_sizes : sequence of int, default=(128, 128, 128, 128)
        Widths of the encoder's layers; the decoder mirrors them.
    latent_features : int, default=8
        Width of the bottleneck.
    exposure_loss : {"margin", "squashed"}, default="margin"
        What exposed windows should have: an error above that of normal ones, or one far above their
        variance, up to a bound. Without exposed clips it has no effect.
    exposure_weight : float, default=1.0
        :math:`\lambda`.
    exposure_margin : float, default=0.0
        :math:`\mu`, for "margin": 1 asks for 2.7 times the error of a normal window.
    needs_exposed : bool, default=False
        Raise an error without exposed clips.
    anomaly_score : {"reconstruction", "mahalanobis", "mahalanobis_of_mean"}, \
            default="reconstruction"
        "reconstruction" is the mean squared error of a window in dB². "mahalanobis" is the mean
        squared Mahalanobis length of the residuals of a window's frames. "mahalanobis_of_mean" is
        that of the clip's mean residual, which the code of the official baseline computes.
    pooling : {"mean", "max", "min"}, default="mean"
        How the scores of a clip's windows become one. "mahalanobis_of_mean" ignores it.
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
        Windows in a training step.
    max_epochs : int, default=100
        Passes over the training windows.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights and order. None draws a new one and leaves the global generators
        alone.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of trained nets: a search over parameters of scoring and decision then trains once per
        fold. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is shown in terminals only.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained autoencoder.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    loss_curve_ : ndarray of shape (n_epochs,)
        Training loss in dB².
    domains_ : tuple of str
        The domains that have a covariance of their own; ("source",) without `domain`.
    whitening_ : ndarray of shape (n_domains, n_mels, n_mels), float32
        Factors of the inverse covariances, in 1/dB.
    residual_power_ : ndarray of shape (n_mels,), float32
        Mean squared residual of each band on normal training clips, in dB².
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    LogMel : The front end; its defaults are the baseline's.

    Notes
    -----
    Without exposed clips this is the official DCASE autoencoder: network (267,928 parameters at 128
    bands) and batch normalisation of the baseline of 2023, batch size of 2020 to 2022, and the
    threshold of 2021 and 2022, a gamma fit to one score per *clip*. The baselines fit it to their
    training clips (``calibration=None``): then 24 % of new normal clips are alarms by
    "reconstruction" and 50 % by "mahalanobis", instead of a tenth
    (``python benchmarks/bench_calibration.py``). They also hold out a tenth of the windows to watch
    the loss; here training uses all. `section` and `groups` only guide the split into folds.

    The report leaves open the loss of exposure, how an error in dB² comes to lie between 0 and 1,
    and the length of the training; it says that the loss tends to 0 for the machine and to 1 for
    the other one. "squashed" is our reading; it is bounded, as a net could let an error in dB² grow
    without end. "margin" is the loss of CP-JKU [3]_, which the report cites, with log errors
    instead of log likelihoods, over all pairs of windows in a batch.

    Do not count on exposure: on 30 synthetic machines, with the five other kinds exposed, "margin"
    lost 0.012 ± 0.006 of AUC and "squashed" 0.037 ± 0.007 against the plain autoencoder trained for
    as many steps (benchmarks/bench_exposure.py). "margin" does the least harm, as it asks no more
    once exposed windows are rebuilt worse, and is the default. Record exposed clips by the same
    microphones and in the same rooms as the machine's own, or the net may learn no more than that
    difference.

    With exposed clips, an epoch takes all normal windows and as many exposed ones, spread evenly
    over the exposed clips, and so twice the steps. Batch normalisation has the statistics of both.
    The bias at the start, :math:`\tau`, covariances, `residual_power_` and the threshold come from
    normal clips alone. The score is the error in dB², not the report's squashed one, which ranks
    single windows the same. Exposed clips are exposed whatever their label in `y`.

    Two things differ from the baseline, and neither changes the network. The last layer's bias
    starts at the mean training window: Adam would need some ten thousand steps of 1e-3 to get to
    the usual -40 dB. After training, the statistics of batch normalisation are computed anew from
    all training windows; the baseline's running averages are far off after few steps.

    The Mahalanobis score differs from the official one as well: covariances are those of single
    frames about their mean (the official ones are larger by the factor `window_length`, so that
    rankings agree), with a millionth of the mean variance on the diagonal.

    `anomaly_map` gives the squared residual relative to `residual_power_`: 1 is as loud as usual.

    A window of 128 bands costs 0.27 million multiply-adds to score, and 0.72 million to train on.

    References
    ----------
    .. [1] S. Kazakova, A. Semenov, A. Surkov, S. Astapov, "Anomalous sound detection with
       autoencoder and image MobileNet using outlier exposure approach", DCASE Challenge 2022.
    .. [2] N. Harada, D. Niizumi, Y. Ohishi, D. Takeuchi, M. Yasuda, "First-shot anomaly sound
       detection for machine condition monitoring: a domain generalization baseline", EUSIPCO 2023.
    .. [3] P. Primus et al., "CP-JKU submission to DCASE'21: improving out-of-distribution detectors
       for machine condition monitoring with proxy outliers & domain adaptation via semantic
       alignment", DCASE Challenge 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import OEAutoencoder
    >>> X = np.random.default_rng(0).normal(size=(12, 16, 40))
    >>> detector = OEAutoencoder(max_epochs=2, random_state=0).fit(X)
    >>> detector.predict(20 * X[:1])  # as loud, but scattered more
    array([-1])

    With clips of other machines exposed:

    >>> others = X[:4, ::-1] - 5
    >>> mixed, exposed = np.concatenate([X, others]), np.arange(16) >= 12
    >>> taught = OEAutoencoder(max_epochs=2, calibration=None, random_state=0)
    >>> taught.fit(mixed, exposed=exposed).calibration_scores_.shape
    (12,)
    """

    _window_scores = ("reconstruction", "mahalanobis")
    _clip_scores = ("mahalanobis_of_mean",)

    _parameter_constraints: ClassVar[dict] = {
        **NetDetector._parameter_constraints,
        "window_length": [Interval(Integral, 1, None, closed="left")],
        "hop": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like"],
        "latent_features": [Interval(Integral, 1, None, closed="left")],
        "exposure_loss": [StrOptions({"margin", "squashed"})],
        "exposure_weight": [Interval(Real, 0, None, closed="neither")],
        "exposure_margin": [Interval(Real, 0, None, closed="left")],
        "needs_exposed": ["boolean"],
    }

    def __init__(
        self,
        *,
        window_length: int = 5,
        hop: int = 1,
        hidden_layer_sizes: Sequence[int] = (128, 128, 128, 128),
        latent_features: int = 8,
        exposure_loss: str = "margin",
        exposure_weight: float = 1.0,
        exposure_margin: float = 0.0,
        needs_exposed: bool = False,
        anomaly_score: str = "reconstruction",
        pooling: str = "mean",
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
        lr: float = 1e-3,
        batch_size: int = 512,
        max_epochs: int = 100,
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.window_length = window_length
        self.hop = hop
        self.hidden_layer_sizes = hidden_layer_sizes
        self.latent_features = latent_features
        self.exposure_loss = exposure_loss
        self.exposure_weight = exposure_weight
        self.exposure_margin = exposure_margin
        self.needs_exposed = needs_exposed
        self.anomaly_score = anomaly_score
        self.pooling = pooling
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
        return self.window_length, self.hop

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        sizes = tuple(self.hidden_layer_sizes)
        if not all(isinstance(size, Integral) and size >= 1 for size in sizes):
            raise ValueError(f"Got hidden_layer_sizes={sizes}; pass whole numbers from 1 on.")
        # An unknown domain would have no covariance, and its clips would count for nothing.
        if clips is not None and clips.domain is not None:
            unknown = sorted(set(map(str, clips.domain[clips.normal])) - set(_DOMAINS))
            if unknown:
                raise ValueError(f'Got the domains {unknown}; they are "source" and "target".')
        if clips is not None and self.needs_exposed and not clips.exposed.any():
            raise ValueError(
                f"Got needs_exposed=True, but none of {len(clips)} samples is exposed; pass "
                "exposed=..., a mask of clips of other machines."
            )

    def _train_nets(self, clips: TrainingClips) -> dict[str, WindowNet]:
        if not clips.exposed.any():
            return super()._train_nets(clips)  # the plain autoencoder
        # The net is made by normal windows alone: exposed ones would move bias and scale.
        net = self._make_net(self._training_windows(clips), clips)
        return {"net": train_cached(self, net, self._mixed_windows(clips))}

    def _mixed_windows(self, clips: TrainingClips) -> Windows:
        """Return all normal windows, and as many exposed ones, spread evenly over their clips."""
        windows = self._training_windows(clips, np.flatnonzero(clips.normal | clips.exposed))
        is_exposed = clips.exposed[windows.clip]
        own, others = np.flatnonzero(~is_exposed), np.flatnonzero(is_exposed)
        # As many as normal ones, repeated or left out: both count the same in the loss.
        spread = others[np.arange(len(own)) * len(others) // len(own)]
        return windows.take(np.concatenate([own, spread])).with_targets(clips.exposed)

    def _make_net(self, windows: Windows, clips: TrainingClips) -> WindowNet:
        return self._window_net(
            DenseAutoencoder,
            **self._objective(windows, clips),
            module__n_mels=clips.data.n_mels,
            module__window_length=self.window_length,
            module__hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            module__latent_features=self.latent_features,
            initial_state={"mean": windows.mean().numpy()},  # far from 0: Adam would take long
        )

    def _objective(self, windows: Windows, clips: TrainingClips) -> dict[str, Any]:
        """Return the loss and its parameters."""
        if not clips.exposed.any():
            return {"criterion": MeanSquaredError}
        settings = {
            "net": ComparingNet,  # its loss compares normal and exposed windows of a batch
            "criterion__scale": _variance(windows),
            "criterion__weight": self.exposure_weight,
        }
        if self.exposure_loss == "squashed":
            return settings | {"criterion": SquashedExposure}
        margin = {"criterion": MarginExposure, "criterion__margin": self.exposure_margin}
        return settings | margin

    def _after_training(self, clips: TrainingClips) -> None:
        # The baseline takes the nearer of two domains; where there is one, it needs no other.
        domain = clips.domain
        if domain is None:
            domain = np.full(len(clips), "source")
        self.domains_ = tuple(d for d in _DOMAINS if (clips.normal & (domain == d)).any())
        moments = [
            residual_moments(
                self, clips, np.flatnonzero(clips.normal & (domain == d)), self._residual
            )
            for d in self.domains_
        ]
        # Covariances in double precision; the score needs no more than single.
        self.whitening_ = np.stack(
            [whitening_matrix(square - np.outer(mean, mean)) for mean, square, _ in moments]
        ).astype(np.float32)
        # The second moments hold the power of each band: no second pass is needed for it.
        squares = [square for _, square, _ in moments]
        counts = [count for *_, count in moments]
        self.residual_power_ = usual_power(np.average(squares, axis=0, weights=counts))

    def _residual(self, x: Tensor) -> Tensor:
        return x - self.net_.module_(x)

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        residual = self._residual(x).transpose(1, 2)  # (batch, window_length, n_mels)
        values = {}
        # Only wanted scores are computed: each adds to the time of a pass through a small net.
        if "reconstruction" in scores:
            values["reconstruction"] = residual.square().mean(dim=(1, 2))
        if "mahalanobis" in scores:
            for domain, whitening in zip(self.domains_, self.whitening_, strict=True):
                factor = torch.from_numpy(whitening).to(x.device)
                values[f"mahalanobis_{domain}"] = mahalanobis_squared(residual, factor).mean(dim=1)
        if "mahalanobis_of_mean" in scores:  # a vector: `_join` whitens its mean over the clip
            values["residual"] = residual.mean(dim=1)
        return values

    def _join(
        self,
        pooled: dict[str, np.ndarray],
        scores: Collection[str],
        section: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        joined = {k: v for k, v in pooled.items() if k == "reconstruction"}
        if "mahalanobis" in scores:
            # The domain is chosen for the whole clip, not window by window, as in the baseline.
            distances = [pooled[f"mahalanobis_{domain}"] for domain in self.domains_]
            joined["mahalanobis"] = np.min(distances, axis=0)
        if "mahalanobis_of_mean" in scores:
            # In fixed blocks of rows, so that a clip scores the same alone and among others.
            joined["mahalanobis_of_mean"] = by_rows(self._shortest, pooled["residual"])
        return joined

    def _shortest(self, residuals: np.ndarray) -> np.ndarray:
        """Return the least squared Mahalanobis length of mean residuals, (n_rows,)."""
        # (n_rows, n_mels) against (n_domains, n_mels, n_mels)
        whitened = residuals @ self.whitening_.astype(np.float64)
        return np.square(whitened).sum(axis=-1).min(axis=0)
