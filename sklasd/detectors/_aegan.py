"""AEGAN-AD: an autoencoder and a critic that guides it (Jiang et al., 2023)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import joblib
import numpy as np
import pandas as pd
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklasd.backends import _by_name
from sklasd.base import NetDetector, TrainingClips
from sklasd.base._window_maps import map_clips
from sklasd.clips._spectrograms import extend_mean, join_maps, mean_spectrogram
from sklasd.features import SpectrogramScaler
from sklasd.losses import MeanSquaredError
from sklasd.nets._aegan import AEGAN
from sklasd.scores import DISTANCES
from sklasd.training import CURVES, AdversarialNet, WindowNet, Windows
from sklasd.training._scaling import learn_scaling

_SMALLEST = 32  # bands and frames of a window; each side is a power of two


class AEGANDetector(NetDetector):
    r"""Detect anomalies by an autoencoder that a critic teaches what matters.

    A convolutional autoencoder, the generator :math:`G`, learns to rebuild windows :math:`x` of
    normal spectrograms. A critic :math:`D` learns to tell :math:`x` from :math:`r = G(x)`, and the
    generator learns to match the critic's embedding :math:`f`:

    .. math::
        L_D &= -\overline{D(x)} + \overline{D(r)} + \lambda \,
            \overline{(\|\nabla D(\hat x)\| - 1)^2}
        \\ L_G &= \overline{(r - x)^2} + w \, \overline{(\overline{f(r)} - \overline{f(x)})^2}

    Anomalies differ from their reconstruction, in the windows or in the encoder's latent vectors
    :math:`z = E(x)` and :math:`E(r)`, or are far from normal clips in the critic's embedding.

    Parameters
    ----------
    window_length : int, default=128
        Frames in a window. This and the number of mel bands must be powers of two from 32 on.
    hop : int, default=1
        Frames from one window to the next in training.
    scoring_hop : int, default=None
        The same in scoring; None means `hop`. A larger one scores that many times as fast.
    width : int, default=32
        Channels after the first convolution of both nets; the cost grows with its square.
    latent_features : int, default=256
        Size of the latent vector.
    norm : {"layer", "batch"}, default="layer"
        Normalisation of the generator; the critic's is always "layer".
    first_norm : bool, default=True
        Normalise after the encoder's first convolution as well.
    matching : {"mean", "mean_std"}, default="mean"
        Match the means of the embeddings over the batch, or their standard deviations as well.
    matching_weight : float, default=0.1
        :math:`w`, the weight of feature matching.
    penalty_weight : float, default=10.0
        :math:`\lambda`, the weight of the gradient penalty.
    n_critic : int, default=1
        Steps of the critic for each step of the generator, counted through the whole training.
    scaler : SpectrogramScaler, default=None
        Scales the input; a clone is fitted to the normal training clips. None means
        ``SpectrogramScaler(feature_range=(-1, 1))``, the range of the generator's output.
    anomaly_score : str, default="embedding_mahalanobis"
        Scores of windows, pooled over the clip: "sample_l1" and "sample_l2", the sums over scaled
        pixels of :math:`|r - x|` and :math:`(r - x)^2`; "latent_l1", "latent_l2" and
        "latent_cosine", the same for :math:`E(r)` and :math:`E(x)`, and one less their cosine.
        Scores of the clip's mean embedding against those of the training clips: "embedding_knn",
        the sum of the cosine distances to the two nearest; "embedding_lof", the local outlier
        factor of four neighbours by cosine distance; "embedding_mahalanobis", the Mahalanobis
        distance; "embedding_cosine", the cosine distance to the mean; "embedding_backend", the
        score of `backend`.
    backend : estimator, default=None
        An estimator with `fit` and `score_samples`, such as ``IsolationForest()``. A clone learns
        the training clips' mean embeddings.
    pooling : {"mean", "max", "min"}, default="mean"
        How the scores of a clip's windows become one.
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
    lr : float, default=2e-4
        Step size of Adam, for both nets.
    betas : (float, float), default=(0.5, 0.999)
        Decay rates of Adam's averages, for both nets.
    batch_size : int, default=512
        Windows in a training step. A smaller last batch is left out, unless it is the only one.
    max_epochs : int, default=60
        Passes over the training windows.
    precision : {"32", "bf16"}, default="32"
        Precision of training: single (on a GPU what torch uses for it, such as TF32), or mixed with
        bfloat16. Scores are always computed in single precision.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order and the gradient penalty. None draws a new one and
        leaves the global generators alone.
    memory : str or object with the joblib.Memory interface, default=None
        Cache of trained nets: a search over parameters of scoring and decision then trains once per
        fold. It needs a `random_state`.
    verbose : int, default=1
        0 hides the progress bar, which is shown in terminals only.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained generator and discriminator, with the scaling before them.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    loss_curve_ : ndarray of shape (n_epochs,)
        The generator's training loss.
    history_ : DataFrame of shape (n_epochs, 4)
        ``generator_loss``, ``critic_loss``, ``gradient_penalty`` and ``critic_margin``,
        :math:`\overline{D(x)} - \overline{D(r)}`.
    embeddings_ : ndarray of shape (n_normal_clips, n_features)
        Mean embedding of each normal training clip; 512 features at the default size.
    backends_ : dict of str to estimator
        The estimators that score embeddings, by the name of the score, fitted to `embeddings_`.
    mean_spectrogram_ : ndarray of shape (n_mels, n_frames), float32
        Mean of the normal training clips at each frame, in dB; as long as the longest clip.
    n_features_in_ : int
        Number of mel bands.

    See Also
    --------
    KNNDetector, MahalanobisDetector : Score the embeddings.
    LogMel : The front end; the paper's is ``LogMel(n_fft=2048, top_db=80)``.
    make_recipe : "aegan-ad", and settings for each machine, such as "aegan-ad:gearbox".

    Notes
    -----
    The paper chose epoch and score for each machine by *labelled test clips*, so its figures cannot
    be reproduced without labels. Here the last epoch is kept, and the default score had the best
    mean AUC on 24 synthetic machines and on real recordings (``benchmarks/bench_aegan_scores.py``,
    small nets). Layer normalisation removes the level: embedding scores hardly change when a clip
    is only louder. They need at least 3 normal training clips.

    What the paper leaves open, or the authors' code does otherwise:

    - The paper matches means and deviations, ``matching="mean_std"``; the code matches means alone
      for four of five machines, with the weight 0.1. The defaults are the code's.
    - Norms are means over features, as in the code; the mean over windows replaces the code's sum.
    - Settings differ from machine to machine in the code; the recipes "aegan-ad:..." have them.
    - The Mahalanobis distance inverts the sample covariance from five times as many normal training
      clips as features on; with fewer, the covariance is shrunk by Ledoit and Wolf's rule.
    - The statistics of batch normalisation are computed anew after training.

    `section`, `domain` and `groups` only guide the split into folds; exposed clips are left out.

    `anomaly_map` is the difference between a clip and its overlap-added reconstruction, in dB. The
    paper's own map, ``reference="mean"``, compares the reconstruction with the mean training
    spectrogram, and so suits machines whose clips are in step with each other; on the synthetic
    machines it is hardly better than chance.

    A window of 128 x 128 costs 0.14 to 0.41 billion multiply-adds to score, and 2.9 to train on.

    References
    ----------
    .. [1] A. Jiang, W.-Q. Zhang, Y. Deng, P. Fan, J. Liu, "Unsupervised anomaly detection and
       localization of machine audio: a GAN-based approach", ICASSP 2023.
    .. [2] I. Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017.
    .. [3] T. Salimans et al., "Improved techniques for training GANs", NeurIPS 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd import AEGANDetector
    >>> X = np.random.default_rng(0).normal(size=(24, 32, 40))
    >>> small = {"window_length": 32, "hop": 8, "width": 2, "batch_size": 8}
    >>> detector = AEGANDetector(**small, max_epochs=2, random_state=0).fit(X)
    >>> hum = X[:1].copy()
    >>> hum[:, 4:8] += 9  # dB, in four bands
    >>> detector.predict(hum)
    array([-1])
    """

    _window_scores = ("sample_l1", "sample_l2", "latent_l1", "latent_l2", "latent_cosine")
    _clip_scores = _by_name.SCORES
    _scoring_batch = 64  # windows of both nets at width 32 take much memory
    _map_unit = "absolute difference in dB"

    _parameter_constraints: ClassVar[dict] = {
        **NetDetector._parameter_constraints,
        "window_length": [Interval(Integral, 1, None, closed="left")],
        "hop": [Interval(Integral, 1, None, closed="left")],
        "scoring_hop": [Interval(Integral, 1, None, closed="left"), None],
        "width": [Interval(Integral, 1, None, closed="left")],
        "latent_features": [Interval(Integral, 1, None, closed="left")],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "norm": [StrOptions({"layer", "batch"})],
        "first_norm": ["boolean"],
        "matching": [StrOptions({"mean", "mean_std"})],
        "matching_weight": [Interval(Real, 0, None, closed="left")],
        "penalty_weight": [Interval(Real, 0, None, closed="left")],
        "scaler": [SpectrogramScaler, None],
        "betas": [tuple, list],  # `_check_params` looks at the numbers
        "backend": [HasMethods(["fit", "score_samples"]), None],
        "precision": [StrOptions({"32", "bf16"})],
    }

    def __init__(
        self,
        *,
        window_length: int = 128,
        hop: int = 1,
        scoring_hop: int | None = None,
        width: int = 32,
        latent_features: int = 256,
        norm: str = "layer",
        first_norm: bool = True,
        matching: str = "mean",
        matching_weight: float = 0.1,
        penalty_weight: float = 10.0,
        n_critic: int = 1,
        scaler: SpectrogramScaler | None = None,
        anomaly_score: str = "embedding_mahalanobis",
        backend: Any = None,
        pooling: str = "mean",
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
        lr: float = 2e-4,
        betas: Sequence[float] = (0.5, 0.999),
        batch_size: int = 512,
        max_epochs: int = 60,
        precision: str = "32",
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        verbose: int = 1,
    ) -> None:
        self.window_length = window_length
        self.hop = hop
        self.scoring_hop = scoring_hop
        self.width = width
        self.latent_features = latent_features
        self.norm = norm
        self.first_norm = first_norm
        self.matching = matching
        self.matching_weight = matching_weight
        self.penalty_weight = penalty_weight
        self.n_critic = n_critic
        self.scaler = scaler
        self.anomaly_score = anomaly_score
        self.backend = backend
        self.pooling = pooling
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration
        self.lr = lr
        self.betas = betas
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.verbose = verbose

    @property
    def history_(self) -> pd.DataFrame:
        """Losses of the training, a row for each complete epoch."""
        check_is_fitted(self)  # else `net_` would raise an AttributeError
        curves = self.net_.history[:, ("train_loss", *CURVES)]
        return pd.DataFrame(curves, columns=["generator_loss", *CURVES])

    def _window(self) -> tuple[int, int]:
        return self.window_length, self.hop

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        if clips is None:  # once for each fit, not once for each fold
            _by_name.check_own_backend(self.backend, is_wanted=self.anomaly_score == _by_name.OWN)
        fewest = _by_name.FEWEST
        n_clips = fewest if clips is None else len(clips.normal_index)
        if n_clips < fewest and self.anomaly_score in self._clip_scores:
            raise ValueError(
                f"Got {n_clips} samples of normal clips, too few for "
                f"anomaly_score={self.anomaly_score!r}; pass at least {fewest} (two more to "
                f"calibrate), or a score of windows: {', '.join(self._window_scores)}."
            )
        if len(self.betas) != 2 or not all(isinstance(b, Real) and 0 <= b < 1 for b in self.betas):
            raise ValueError(f"Got betas={self.betas!r}; pass two numbers from 0 to below 1.")
        for name, size in {"n_mels": n_features, "window_length": self.window_length}.items():
            if size is not None and (size < _SMALLEST or size & (size - 1)):  # one bit: a power
                raise ValueError(
                    f"Got {name}={size}, which the nets cannot halve down to 4; pass a power of "
                    f"two, at least {_SMALLEST}."
                )

    def _make_net(self, windows: Windows, clips: TrainingClips) -> WindowNet:
        scaler = SpectrogramScaler(feature_range=(-1, 1))  # the generator ends in tanh
        return self._window_net(
            AEGAN,
            net=AdversarialNet,
            criterion=MeanSquaredError,
            module__shape=(clips.data.n_mels, self.window_length),
            module__width=self.width,
            module__latent_features=self.latent_features,
            module__norm=self.norm,
            module__first_norm=self.first_norm,
            initial_state=learn_scaling(self.scaler, windows, default=scaler),
            optimizer__betas=tuple(self.betas),
            iterator_train__drop_last=True,  # the means of a few windows are too noisy to match
            penalty_weight=self.penalty_weight,
            matching=self.matching,
            matching_weight=self.matching_weight,
            n_critic=self.n_critic,
            precision=self.precision,
        )

    def _after_training(self, clips: TrainingClips) -> None:
        index = clips.normal_index
        self.mean_spectrogram_ = mean_spectrogram(clips.data, index)  # for the paper's map
        self.embeddings_ = self._measure(clips.data, self._clip_scores, index)["embedding"]
        self.backends_ = _by_name.fit_backends(self.embeddings_, self.backend, self._seed)
        # Scoring refuses a `backend` that was replaced after this: it was never fitted.
        self.backend_digest_ = joblib.hash(self.backend)

    @property
    def _listed_clip_scores(self) -> Collection[str]:
        return list(self.backends_)  # without `backend`, there is no score by it

    def _describe(self, x: Tensor, scores: Collection[str]) -> dict[str, Tensor]:
        net = self.net_.module_
        images = net.scale(x)
        values = {}
        # Each part of the nets runs only where a wanted score needs it.
        if not set(scores).issubset(self._window_scores):
            values["embedding"] = net.discriminator.embed(images)  # (batch, n_features)
        wanted = [score.split("_") for score in self._window_scores if score in scores]
        if not wanted:
            return values
        latent = net.generator.encoder(images)  # (batch, latent_features)
        rebuilt = net.generator.decoder(latent)
        pairs = {"sample": (rebuilt, images)}
        if "latent" in [space for space, _ in wanted]:  # costs another pass through the encoder
            pairs["latent"] = (net.generator.encoder(rebuilt), latent)
        for space, distance in wanted:
            values[f"{space}_{distance}"] = DISTANCES[distance](*pairs[space])
        return values

    def _join(
        self,
        pooled: dict[str, np.ndarray],
        scores: Collection[str],
        section: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        # Embeddings are vectors: `ClipValues` averages them, whatever the pooling.
        joined = {name: value for name, value in pooled.items() if name != "embedding"}
        for name in set(scores).difference(self._window_scores):
            joined[name] = -_by_name.score_by(self, name, pooled["embedding"])
        return joined

    def anomaly_map(self, X: Any, *, reference: str = "input") -> np.ndarray | list[np.ndarray]:
        """Map where in time and frequency the anomaly is.

        Parameters
        ----------
        X : array of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
            Spectrograms.
        reference : {"input", "mean"}, default="input"
            Compare the reconstruction with the clip itself or, as in the paper, with the mean of
            the normal training clips.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            Absolute difference in dB; larger is more anomalous.
        """
        if reference not in ("input", "mean"):
            raise ValueError(f'Got reference={reference!r}; pass "input" or "mean".')
        check_is_fitted(self)
        data = self._prepare(X, reset=False)
        # Windows are rebuilt one by one and averaged where they overlap, before the comparison.
        rebuilt = map_clips(self, data, self.net_.module_)
        usual = data if reference == "input" else extend_mean(self.mean_spectrogram_, data.n_frames)
        return join_maps([np.abs(x - y) for x, y in zip(rebuilt, usual, strict=True)])
